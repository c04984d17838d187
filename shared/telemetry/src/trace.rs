//! Trace context: the trace that a request is part of, as its caller tells it.
//!
//! Formats: <https://www.w3.org/TR/trace-context/> and
//! <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>.

use std::fmt;

/// A trace that was taken up, and our own span in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    id: u128,
    parent: Option<u64>,
    span: u64,
    sampled: Option<bool>,
}

impl Trace {
    /// From a W3C `traceparent`: `00-<trace id>-<parent id>-<flags>`. `None` if it is not one, as
    /// the specification wants it to be ignored then.
    pub fn of_traceparent(header: &str) -> Option<Self> {
        let mut parts = header.splitn(5, '-');
        let mut part = |digits| hex(parts.next()?, digits);
        let (version, id, parent, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        // A later version may have more to say; the first has not.
        if version == 0xff || id == 0 || parent == 0 || (version == 0 && parts.next().is_some()) {
            return None;
        }
        Some(Self {
            id,
            parent: Some(parent as u64),
            span: own_span(),
            sampled: Some(flags & 1 == 1),
        })
    }

    /// From an `X-Amzn-Trace-Id`: `Root=1-<seconds>-<rest of the id>;Parent=<id>;Sampled=1`, in any
    /// order, with or without the last two.
    pub fn of_amazon(header: &str) -> Option<Self> {
        let (mut id, mut parent, mut sampled) = (None, None, None);
        for field in header.split(';') {
            match field.trim().split_once('=')? {
                ("Root", root) => {
                    let (seconds, rest) = root.strip_prefix("1-")?.split_once('-')?;
                    id = Some(hex(seconds, 8)? << 96 | hex(rest, 24)?);
                }
                ("Parent", value) => parent = Some(hex(value, 16)? as u64),
                ("Sampled", "1") => sampled = Some(true),
                ("Sampled", "0") => sampled = Some(false),
                _ => {}
            }
        }
        Some(Self {
            id: id.filter(|id| *id != 0)?,
            parent,
            span: own_span(),
            sampled,
        })
    }

    /// Whether the caller has this trace recorded.
    pub fn is_sampled(&self) -> bool {
        self.sampled == Some(true)
    }

    /// The ids of the trace, of our own span, and of the caller's.
    pub(crate) fn numbers(&self) -> (u128, u64, Option<u64>) {
        (self.id, self.span, self.parent)
    }

    /// The trace's id, 32 hexadecimal digits.
    pub fn id(&self) -> impl fmt::Display + use<> {
        Hex::<32>(self.id)
    }

    /// Our own span's id, 16 hexadecimal digits.
    pub fn span(&self) -> impl fmt::Display + use<> {
        Hex::<16>(self.span.into())
    }

    /// The caller's span, 16 hexadecimal digits, where it told one.
    pub fn parent(&self) -> Option<impl fmt::Display + use<>> {
        self.parent.map(|parent| Hex::<16>(parent.into()))
    }

    /// As W3C writes it, with our own span: what `traceresponse` answers.
    pub fn traceparent(&self) -> String {
        let flags = u8::from(self.sampled == Some(true));
        format!("00-{}-{}-{flags:02x}", self.id(), self.span())
    }

    /// As AWS writes it, with our own span.
    pub fn amazon(&self) -> String {
        let (seconds, rest) = (self.id >> 96, self.id & (u128::MAX >> 32));
        let sampled = match self.sampled {
            Some(true) => ";Sampled=1",
            Some(false) => ";Sampled=0",
            None => "",
        };
        format!(
            "Root=1-{seconds:08x}-{rest:024x};Parent={}{sampled}",
            self.span()
        )
    }
}

struct Hex<const DIGITS: usize>(u128);

impl<const DIGITS: usize> fmt::Display for Hex<DIGITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0DIGITS$x}", self.0)
    }
}

/// Exactly so many hexadecimal digits, in lower case as both formats have them.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let fits = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    fits.then(|| u128::from_str_radix(text, 16).ok())?
}

/// All zeros is no span.
fn own_span() -> u64 {
    fastrand::u64(1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn a_traceparent_is_taken_up_and_passed_on() {
        for (header, sampled) in [
            (format!("00-{ID}-b7ad6b7169203331-01"), "01"),
            (format!("00-{ID}-b7ad6b7169203331-00"), "00"),
            (format!("00-{ID}-b7ad6b7169203331-fe"), "00"),
            (
                format!("cc-{ID}-b7ad6b7169203331-01-what-comes-later"),
                "01",
            ),
        ] {
            let trace = Trace::of_traceparent(&header).expect(&header);
            let parent = trace.parent().map(|parent| parent.to_string());
            assert_eq!(parent.as_deref(), Some("b7ad6b7169203331"));
            let passed = trace.traceparent();
            assert_eq!(passed, format!("00-{ID}-{}-{sampled}", trace.span()));
            assert!(Trace::of_traceparent(&passed).is_some(), "{passed}");
        }
    }

    #[test]
    fn amazons_header_is_the_same_trace() {
        let seconds = &ID[..8];
        let rest = &ID[8..];
        for (header, end) in [
            (format!("Root=1-{seconds}-{rest}"), ""),
            (
                format!("Root=1-{seconds}-{rest};Parent=53995c3f42cd8ad8;Sampled=1"),
                ";Sampled=1",
            ),
            (
                format!(
                    "Self=1-67891234-12456789abcdef012345678;Root=1-{seconds}-{rest};Sampled=0"
                ),
                ";Sampled=0",
            ),
            (
                format!("Sampled=?; Root=1-{seconds}-{rest};Lineage=a:1|b:2"),
                "",
            ),
        ] {
            let trace = Trace::of_amazon(&header).expect(&header);
            assert_eq!(trace.id().to_string(), ID, "{header}");
            let passed = trace.amazon();
            let wanted = format!("Root=1-{seconds}-{rest};Parent={}{end}", trace.span());
            assert_eq!(passed, wanted);
        }
    }

    #[test]
    fn what_is_no_trace_context_is_ignored() {
        let zeros = "0".repeat(32);
        for header in [
            "",
            "00",
            "00-abc-def-01",
            &format!("00-{ID}-b7ad6b7169203331"),
            &format!("00-{ID}-b7ad6b7169203331-01-more"),
            &format!("ff-{ID}-b7ad6b7169203331-01"),
            &format!("00-{zeros}-b7ad6b7169203331-01"),
            &format!("00-{ID}-0000000000000000-01"),
            &format!("00-{}-b7ad6b7169203331-01", ID.to_uppercase()),
            &format!("00-{ID}-b7ad6b716920333é-01"),
        ] {
            assert_eq!(Trace::of_traceparent(header), None, "{header}");
        }
        for header in [
            "",
            "Root=1-x-y",
            "Parent=53995c3f42cd8ad8",
            "Root=2-0af76519-16cd43dd8448eb211c80319c",
        ] {
            assert_eq!(Trace::of_amazon(header), None, "{header}");
        }
    }
}
