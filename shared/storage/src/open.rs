//! From a URL to a store.

use std::sync::Arc;

use crate::{DirectoryStore, Error, ErrorKind, ObjectKey, Result, S3Store, Store, StoreOptions};

const CURE: &str = "a store is s3://bucket, s3://bucket/prefix, file:PATH or a path";

/// Opens `s3://bucket/prefix`, `file:PATH` or a bare path.
///
/// Nothing is fetched yet: a bucket that does not exist, or credentials that do not fit, show at
/// the first operation. A path is taken as it is written, without percent-decoding.
pub async fn open(url: &str, options: &StoreOptions) -> Result<Arc<dyn Store>> {
    match Place::parse(url)? {
        Place::Bucket { bucket, prefix } => {
            Ok(Arc::new(S3Store::new(&bucket, &prefix, options).await?))
        }
        Place::Folder(path) => Ok(Arc::new(DirectoryStore::new(path, options)?)),
    }
}

/// The key, in the store with this URL, of an object that others name by its bucket and its key
/// there; `None` if it lies elsewhere. A directory has no bucket: any will do.
pub fn key_in_store<'a>(url: &str, bucket: &str, key: &'a str) -> Option<&'a str> {
    let Some(place) = url.strip_prefix("s3://") else {
        return Some(key);
    };
    let (own, prefix) = place.split_once('/').unwrap_or((place, ""));
    if own != bucket {
        return None;
    }
    match prefix.trim_end_matches('/') {
        "" => Some(key),
        prefix => key.strip_prefix(prefix)?.strip_prefix('/'),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    Bucket { bucket: String, prefix: String },
    Folder(String),
}

impl Place {
    fn parse(url: &str) -> Result<Self> {
        let fail = |reason: String| {
            Err(
                Error::new(ErrorKind::InvalidConfig, "open", format!("{url:?}"), reason)
                    .with_cure(CURE),
            )
        };
        if url.trim().is_empty() {
            return fail("no store is named".into());
        }
        if url.contains('\0') {
            return fail("it contains a NUL character".into());
        }
        if let Some(place) = url.strip_prefix("s3://") {
            let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
            let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
            let fits = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
            if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(fits) {
                return fail(format!("{bucket:?} is not a bucket's name"));
            }
            if !prefix.is_empty() && (prefix.len() > 100 || ObjectKey::new(prefix).is_err()) {
                return fail(format!("{prefix:?} is not a prefix of 1 to 100 bytes"));
            }
            return Ok(Self::Bucket {
                bucket: bucket.into(),
                prefix: prefix.into(),
            });
        }
        if let Some(path) = url.strip_prefix("file:") {
            return match path.strip_prefix("//") {
                None if path.is_empty() => fail("no path is named".into()),
                None => Ok(Self::Folder(path.into())),
                Some(path) => match path.strip_prefix("localhost").unwrap_or(path) {
                    "" => fail("no path is named".into()),
                    path if path.starts_with('/') => Ok(Self::Folder(path.into())),
                    path => {
                        let host = path.split('/').next().unwrap_or_default();
                        fail(format!(
                            "a file on another host, {host:?}, cannot be reached"
                        ))
                    }
                },
            };
        }
        match url.split_once(':') {
            Some(("http" | "https", _)) => fail(
                "an S3 server's address is its endpoint, not the store: name the bucket, and give \
                 the address as the endpoint"
                    .into(),
            ),
            Some(("s3", _)) => fail("two slashes come after s3:".into()),
            Some((scheme, rest)) if is_scheme(scheme) && rest.starts_with("//") => {
                fail(format!("there is no store of the kind {scheme:?}"))
            }
            _ => Ok(Self::Folder(url.into())),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.len() > 1
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_they_are_meant() {
        let bucket = |bucket: &str, prefix: &str| Place::Bucket {
            bucket: bucket.into(),
            prefix: prefix.into(),
        };
        let folder = |path: &str| Place::Folder(path.into());
        let cases = [
            ("s3://models", bucket("models", "")),
            ("s3://models/", bucket("models", "")),
            (
                "s3://my.models-1/team a/x/",
                bucket("my.models-1", "team a/x"),
            ),
            ("file:models", folder("models")),
            ("file:/srv/models", folder("/srv/models")),
            ("file:///srv/models", folder("/srv/models")),
            ("file://localhost/srv", folder("/srv")),
            ("models", folder("models")),
            ("./a:b", folder("./a:b")),
            ("/srv/models", folder("/srv/models")),
        ];
        for (url, wanted) in cases {
            assert_eq!(Place::parse(url).unwrap(), wanted, "{url}");
        }
    }

    #[test]
    fn objects_of_a_bucket_are_found_in_the_store() {
        for (url, bucket, key, want) in [
            ("s3://b", "b", "a/x", Some("a/x")),
            ("s3://b/a", "b", "a/x", Some("x")),
            ("s3://b/a/", "b", "a/x", Some("x")),
            ("s3://b/a", "b", "ab/x", None),
            ("s3://b", "c", "a/x", None),
            ("file:/models", "any", "a/x", Some("a/x")),
        ] {
            assert_eq!(
                key_in_store(url, bucket, key),
                want,
                "{key} of {bucket} in {url}"
            );
        }
    }

    #[test]
    fn a_bad_url_says_what_is_wrong_and_what_is_right() {
        let long = format!("s3://models/{}", "p".repeat(101));
        let cases = [
            ("", "no store is named"),
            ("  ", "no store is named"),
            ("a\0b", "NUL"),
            ("s3://", "\"\" is not a bucket's name"),
            ("s3:///prefix", "\"\" is not a bucket's name"),
            ("s3://ab", "\"ab\" is not a bucket's name"),
            ("s3://models?region=x", "is not a bucket's name"),
            ("s3://user@models", "is not a bucket's name"),
            ("s3://models//x", "is not a prefix"),
            ("s3://models/../x", "is not a prefix"),
            (&long, "is not a prefix"),
            ("s3:models", "two slashes"),
            ("file:", "no path is named"),
            ("file://", "no path is named"),
            ("file://server/share", "\"server\""),
            ("http://127.0.0.1:9000/models", "endpoint"),
            ("https://s3.amazonaws.com/models", "endpoint"),
            ("gs://models", "\"gs\""),
            ("az://models", "\"az\""),
        ];
        for (url, wanted) in cases {
            let error = Place::parse(url).expect_err(url);
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url}");
            let text = error.to_string();
            assert!(
                text.contains(wanted) && text.contains(CURE),
                "{url}: {text}"
            );
        }
    }
}
