//! Which part a picture belongs to: decided by its content alone.

use dunlin_registry::Digest;

use super::Part;
use crate::{Error, Result};

/// Shares of the data that are held out.
///
/// A picture's part follows from the digest of its bytes: it stays the same when data is added,
/// renamed or put in another order, and two copies of a picture never fall on both sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// Share of the training data that decides when to stop, 0 to 1.
    pub valid: f64,
    /// Share of all data that is seen once, at the end; unused where the data has a test part.
    pub test: f64,
}

impl Split {
    /// Checks the shares.
    pub fn new(valid: f64, test: f64) -> Result<Self> {
        let share = |share: f64| (0.0..1.0).contains(&share);
        if !share(valid) || !share(test) || test == 0.0 || valid + test > 0.9 {
            return Err(Error::usage(format!(
                "--valid {valid} --test {test}: shares of the data, the second more than 0, and at most 0.9 together"
            )));
        }
        Ok(Self { valid, test })
    }

    /// The part of a picture that the data itself has put into `given`. `tested`: whether the data
    /// has a test part of its own; `validated`: whether it has one for validation.
    pub(super) fn part(
        &self,
        digest: &Digest,
        given: Option<Part>,
        tested: bool,
        validated: bool,
    ) -> Part {
        match given {
            Some(part @ (Part::Valid | Part::Test)) => return part,
            _ if tested && validated => return Part::Train,
            _ => {}
        }
        let test = if tested { 0.0 } else { self.test };
        let valid = if validated { 0.0 } else { self.valid };
        let place = place(digest);
        if place < test {
            Part::Test
        } else if place < test + valid {
            Part::Valid
        } else {
            Part::Train
        }
    }
}

/// A number from 0 to 1, evenly distributed, by the last bytes of the digest.
fn place(digest: &Digest) -> f64 {
    let [.., a, b, c, d] = *digest.as_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests() -> impl Iterator<Item = Digest> {
        (0..10_000_u32).map(|number| Digest::of(&number.to_le_bytes()))
    }

    #[test]
    fn shares_are_what_was_asked_for() {
        let split = Split::new(0.1, 0.2).unwrap();
        let count = |tested, want| {
            let part = |digest| split.part(&digest, None, tested, false);
            digests().filter(|&digest| part(digest) == want).count()
        };
        assert!((1900..2100).contains(&count(false, Part::Test)));
        assert!((900..1100).contains(&count(false, Part::Valid)));
        assert!((900..1100).contains(&count(true, Part::Valid)));
        assert_eq!(count(true, Part::Test), 0);
    }

    #[test]
    fn what_the_data_says_holds() {
        let split = Split::new(0.5, 0.4).unwrap();
        for digest in digests().take(100) {
            assert_eq!(
                split.part(&digest, Some(Part::Test), true, false),
                Part::Test
            );
            assert_eq!(
                split.part(&digest, Some(Part::Train), true, true),
                Part::Train
            );
        }
    }

    #[test]
    fn shares_that_leave_nothing_are_refused() {
        for (valid, test) in [
            (0.1, 0.0),
            (-0.1, 0.1),
            (0.5, 0.5),
            (f64::NAN, 0.1),
            (0.1, 1.0),
        ] {
            assert!(Split::new(valid, test).is_err(), "{valid} {test}");
        }
    }
}
