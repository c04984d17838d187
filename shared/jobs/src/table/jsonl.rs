//! JSON lines. An empty line is none.

use std::io::{BufRead as _, BufReader, Read};

use super::{Fields, Row};
use crate::{Error, Result};

/// A line without its end, or why it can't be taken; and its bytes.
type Line = (Result<Vec<u8>, String>, u64);

/// The lines of a file.
pub(super) struct Lines<R> {
    read: BufReader<R>,
    limit: usize,
    number: u64,
    ended: bool,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(read: R, limit: usize) -> Self {
        Self {
            read: BufReader::with_capacity(256 << 10, read),
            limit,
            number: 0,
            ended: false,
        }
    }

    /// The next line; one that is too long is skipped over.
    fn line(&mut self) -> std::io::Result<Option<Line>> {
        let mut line = Vec::new();
        let most = self.limit as u64 + 1;
        let mut bytes = (&mut self.read).take(most).read_until(b'\n', &mut line)? as u64;
        if bytes == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if bytes == most {
            bytes += self.read.skip_until(b'\n')? as u64;
            let why = format!("the line has {bytes} bytes; the limit is {}", self.limit);
            return Ok(Some((Err(why), bytes)));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some((Ok(line), bytes)))
    }
}

impl<R: Read> Iterator for Lines<R> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut skipped = 0;
        while !self.ended {
            match self.line() {
                Ok(None) => self.ended = true,
                Ok(Some((Ok(line), bytes))) if line.trim_ascii().is_empty() => skipped += bytes,
                Ok(Some((line, bytes))) => {
                    let number = self.number;
                    self.number += 1;
                    return Some(Ok(Row {
                        number,
                        bytes: bytes + skipped,
                        fields: line.map(|line| Fields::Json(line.into())),
                    }));
                }
                Err(error) => {
                    self.ended = true;
                    let line = self.number + 1;
                    return Some(Err(Error::invalid(format!(
                        "cannot read line {line} of the source: {error}"
                    ))));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_ends_and_a_limit() {
        let text = b"{\"a\":1}\r\n\n  \n0123456789x\n[2]\nlast";
        let rows: Vec<_> = Lines::new(&text[..], 10).map(Result::unwrap).collect();
        let told: Vec<_> = rows
            .iter()
            .map(|row| match &row.fields {
                Ok(Fields::Json(line)) => String::from_utf8_lossy(line).into_owned(),
                Ok(other) => format!("{other:?}"),
                Err(why) => why.clone(),
            })
            .collect();
        let long = "the line has 12 bytes; the limit is 10";
        assert_eq!(told, ["{\"a\":1}", long, "[2]", "last"]);
        let numbers: Vec<_> = rows.iter().map(|row| row.number).collect();
        assert_eq!(numbers, [0, 1, 2, 3]);
        let bytes: u64 = rows.iter().map(|row| row.bytes).sum();
        assert_eq!(bytes, text.len() as u64);
    }
}
