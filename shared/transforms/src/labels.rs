//! Label files: one label a line, the first for class 0.

use crate::{Error, Result};

/// Most bytes of a label file: ImageNet-21k with descriptions takes a quarter of it.
const MAX_BYTES: usize = 8 << 20;

/// Reads a label file. Blank lines at the end are dropped; elsewhere they hold their class's place.
pub fn parse_labels(file: &[u8]) -> Result<Vec<String>> {
    if file.len() > MAX_BYTES {
        return Err(Error::too_large(format!(
            "the label file has {} bytes; the limit is {MAX_BYTES}",
            file.len()
        )));
    }
    let text = std::str::from_utf8(file).map_err(|error| {
        let line = file[..error.valid_up_to()]
            .split(|&byte| byte == b'\n')
            .count();
        Error::spec(format!("the label file is not UTF-8 text (line {line})")).because(error)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Ok(text
        .trim_end()
        .lines()
        .map(|line| line.trim().to_owned())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn one_label_a_line() {
        let cases: [(&[u8], &[&str]); 6] = [
            (b"", &[]),
            (b"\n\n", &[]),
            (b"cat\ndog", &["cat", "dog"]),
            (b"\xef\xbb\xbfcat\r\ndog\r\n\r\n", &["cat", "dog"]),
            (b"cat\n\n  sea otter \n", &["cat", "", "sea otter"]),
            ("Käfer\n".as_bytes(), &["Käfer"]),
        ];
        for (file, want) in cases {
            assert_eq!(parse_labels(file).unwrap(), want, "{file:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_name_their_line() {
        let error = parse_labels(b"cat\ndog\nK\xe4fer\n").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSpec);
        assert!(error.to_string().contains("line 3"), "{error}");
    }
}
