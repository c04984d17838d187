//! The statement and its envelope.
//!
//! Sources: the Sigstore bundle format v0.3, DSSE v1.0 (its pre-authentication encoding), in-toto's
//! Statement v1, and the predicate of `OpenSSF`'s model signing v1.0.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{PublicKey, SigningKey};
use crate::{Digest, Error, ErrorKind, Manifest, Result, layout};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD: &str = "application/vnd.in-toto+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://model_signing/signature/v1.0";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    dsse_envelope: Envelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Deserialize)]
struct Predicate {
    resources: Vec<Resource>,
}

/// A file that is signed.
#[derive(Debug, Serialize, Deserialize)]
struct Resource {
    name: String,
    algorithm: String,
    digest: String,
}

/// The files of a version, by their keys in the store, sorted: the manifest, and all that it names.
fn resources(manifest: &Manifest, document: &[u8]) -> Result<Vec<Resource>> {
    let resource = |name: &str, digest: &Digest| Resource {
        name: name.to_owned(),
        algorithm: "sha256".to_owned(),
        digest: digest.hex(),
    };
    let own = layout::manifest(&manifest.name, manifest.version)?;
    let mut resources = vec![resource(own.as_str(), &Digest::of(document))];
    for artifact in &manifest.artifacts {
        let blob = layout::blob(&artifact.digest)?;
        resources.push(resource(blob.as_str(), &artifact.digest));
    }
    resources.sort_by(|a, b| a.name.cmp(&b.name));
    resources.dedup_by(|a, b| a.name == b.name);
    Ok(resources)
}

/// What is signed of a payload (DSSE's PAE).
fn encode(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD} {} ", PAYLOAD.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// The signature of a manifest whose document this is, as it is stored.
pub(crate) fn sign(key: &SigningKey, manifest: &Manifest, document: &[u8]) -> Result<Bytes> {
    let resources = resources(manifest, document)?;
    // The digest of all digests, in their order.
    let mut all = Vec::new();
    for resource in &resources {
        let digest: Digest = format!("sha256:{}", resource.digest).parse()?;
        all.extend_from_slice(digest.as_bytes());
    }
    let name = format!("{}-{}", manifest.name, manifest.version);
    let statement = json!({
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": Digest::of(&all).hex()}}],
        "predicateType": PREDICATE,
        "predicate": {
            "resources": resources,
            "serialization": {
                "method": "files", "hash_type": "sha256", "allow_symlinks": false, "ignore_paths": [],
            },
        },
    });
    let payload = statement.to_string();
    let signature = key.sign(&encode(payload.as_bytes()))?;
    let bundle = json!({
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": key.public().id().hex()}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": BASE64_STANDARD.encode(payload),
            "payloadType": PAYLOAD,
            "signatures": [{"sig": BASE64_STANDARD.encode(signature), "keyid": ""}],
        },
    });
    Ok(Bytes::from(bundle.to_string()))
}

/// Checks a signature: that this key made it, over this manifest and all files that it names.
pub(crate) fn verify(
    key: &PublicKey,
    bundle: &[u8],
    manifest: &Manifest,
    document: &[u8],
) -> Result<()> {
    let what = format!(
        "the signature of {} version {}",
        manifest.name, manifest.version
    );
    let refuse = |why: &str| Err(Error::new(ErrorKind::Untrusted, format!("{what} {why}")));
    let Ok(bundle) = serde_json::from_slice::<Bundle>(bundle) else {
        return refuse("is no Sigstore bundle with a DSSE envelope");
    };
    let envelope = bundle.dsse_envelope;
    if bundle.media_type != BUNDLE || envelope.payload_type != PAYLOAD {
        return refuse("is of another format");
    }
    let [signature] = &envelope.signatures[..] else {
        return refuse("is not one signature");
    };
    let (Ok(payload), Ok(signature)) = (
        BASE64_STANDARD.decode(&envelope.payload),
        BASE64_STANDARD.decode(&signature.sig),
    ) else {
        return refuse("is damaged");
    };
    if !key.verifies(&encode(&payload), &signature) {
        return refuse(&format!("was not made by key {}", key.id()));
    }
    let Ok(statement) = serde_json::from_slice::<Statement>(&payload) else {
        return refuse("states nothing that can be read");
    };
    if statement.kind != STATEMENT || statement.predicate_type != PREDICATE {
        return refuse("states something else than the digests of a model");
    }
    let signed = statement.predicate.resources;
    for wanted in resources(manifest, document)? {
        let found = signed.iter().any(|resource| {
            (&resource.name, &resource.algorithm, &resource.digest)
                == (&wanted.name, &wanted.algorithm, &wanted.digest)
        });
        if !found {
            return refuse(&format!("is of other bytes than those of {}", wanted.name));
        }
    }
    Ok(())
}

/// The id of the key that a signature says it is from; told, not checked.
pub(crate) fn hint(bundle: &[u8]) -> Option<String> {
    let bundle: Value = serde_json::from_slice(bundle).ok()?;
    let hint = &bundle["verificationMaterial"]["publicKey"]["hint"];
    hint.as_str().map(str::to_owned)
}
