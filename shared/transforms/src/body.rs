//! What a body is: by its content type, and by its bytes where that says nothing.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Error, Result};

const JSON: &str = "application/json";
/// What curl says of every body, if not told otherwise.
const FORM: &str = "application/x-www-form-urlencoded";

/// The content type of a body.
pub(crate) struct Media {
    /// In lower case, without parameters; empty where there is none.
    pub(crate) name: String,
    charset: Option<String>,
}

impl Media {
    pub(crate) fn of(content_type: Option<&str>) -> Self {
        let mut parts = content_type.unwrap_or_default().split(';');
        let plain = |part: &str| part.trim().to_ascii_lowercase();
        let name = parts.next().map(plain).unwrap_or_default();
        let charset = parts.map(plain).find_map(|part| {
            let charset = part.strip_prefix("charset=")?;
            Some(charset.trim_matches('"').to_owned())
        });
        Self { name, charset }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.name == JSON
    }

    /// Refuses bodies that can't be text; `wanted` tells what can.
    pub(crate) fn check_text(&self, wanted: &str) -> Result<()> {
        let name = &self.name;
        let text = name.is_empty() || name.starts_with("text/");
        if !(text || self.is_json() || name == FORM || name == "application/octet-stream") {
            let error = Error::media(format!("this model takes {wanted}, not {name}"));
            return Err(self.hint(error));
        }
        match self.charset.as_deref() {
            None | Some("utf-8" | "utf8" | "us-ascii") => Ok(()),
            Some(other) => Err(Error::media(format!(
                "charset {other}: text is sent as UTF-8"
            ))),
        }
    }

    /// Adds the cure for the two ways in which a form spoils a file.
    pub(crate) fn hint(&self, error: Error) -> Error {
        match &*self.name {
            "multipart/form-data" => {
                error.advise("the body is a form; send the file itself: curl --data-binary @FILE")
            }
            FORM => error.advise("curl -d drops line breaks; use --data-binary @FILE"),
            _ => error,
        }
    }
}

/// The fields of a JSON body that tell what it holds.
#[derive(Deserialize)]
pub(crate) struct Fields<'a> {
    /// Tensors of the Open Inference Protocol v2.
    #[serde(borrow)]
    pub(crate) inputs: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) text: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) pair: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) texts: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) series: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    /// The fields of a body that is JSON: because its content type says so, or because it says
    /// nothing and the body is an object with such a field.
    pub(crate) fn of(body: &'a Bytes, media: &Media) -> Result<Option<Self>> {
        if media.is_json() {
            let fields = serde_json::from_slice(body);
            return fields.map(Some).map_err(|error| {
                Error::input(format!("the body is no JSON object: {error}")).because(error)
            });
        }
        let silent = media.name.is_empty() || media.name == FORM;
        if !silent || !body.trim_ascii_start().starts_with(b"{") {
            return Ok(None);
        }
        let fields: Option<Self> = serde_json::from_slice(body).ok();
        Ok(fields.filter(|fields| {
            let known = [fields.inputs, fields.text, fields.texts, fields.series];
            known.iter().any(Option::is_some)
        }))
    }
}
