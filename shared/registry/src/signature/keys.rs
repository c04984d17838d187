//! Keys: PEM in and out, ids, which are trusted.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};

use crate::{Digest, Error, ErrorKind, Result};

/// A `SubjectPublicKeyInfo` of P-256 up to its point (RFC 5480).
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Bytes of an uncompressed point.
const POINT: usize = 65;

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// Bytes that a file of keys may have.
const PEM_LIMIT: usize = 64 << 10;

/// Names a public key: the SHA-256 of its PEM, as a signature's `hint` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Digest);

impl KeyId {
    /// All of it, 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.hex()
    }
}

impl fmt::Display for KeyId {
    /// Its first 16 digits: enough to tell keys apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex()[..16])
    }
}

/// A key that checks signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    point: [u8; POINT],
}

/// A key that signs.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    pkcs8: Vec<u8>,
    public: PublicKey,
}

/// The keys whose signatures count. Several, so that one can take over from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKeys(Vec<PublicKey>);

fn invalid(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidKey, why)
}

impl PublicKey {
    /// The one public key of a PEM file.
    pub fn from_pem(text: &str) -> Result<Self> {
        let TrustedKeys(keys) = TrustedKeys::from_pem(text)?;
        let [key] = <[Self; 1]>::try_from(keys)
            .map_err(|keys| invalid(format!("there are {} keys; one is wanted", keys.len())))?;
        Ok(key)
    }

    fn from_der(der: &[u8]) -> Result<Self> {
        let point = der.strip_prefix(&SPKI).ok_or_else(|| {
            invalid("the public key is not of the curve P-256; `dunlin key new` makes one that is")
        })?;
        let point = <[u8; POINT]>::try_from(point)
            .ok()
            .filter(|point| point[0] == 4)
            .ok_or_else(|| invalid("the public key is not an uncompressed point"))?;
        Ok(Self { point })
    }

    /// As `SubjectPublicKeyInfo`, PEM.
    pub fn to_pem(&self) -> String {
        pem(PUBLIC, &[&SPKI[..], &self.point].concat())
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        KeyId(Digest::of(self.to_pem().as_bytes()))
    }

    /// Whether this is its signature (DER) of a message.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point)
            .verify(message, signature)
            .is_ok()
    }
}

impl SigningKey {
    /// A new key.
    pub fn generate() -> Result<Self> {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            .map_err(|_| invalid("the system gives no random numbers for a key"))?;
        Self::from_pkcs8(pkcs8.as_ref().to_vec())
    }

    fn from_pkcs8(pkcs8: Vec<u8>) -> Result<Self> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &random)
            .map_err(|why| invalid(format!("it is no key of the curve P-256: {why}")))?;
        let point = <[u8; POINT]>::try_from(pair.public_key().as_ref())
            .map_err(|_| invalid("its public key is not an uncompressed point"))?;
        let public = PublicKey { point };
        Ok(Self {
            pair,
            pkcs8,
            public,
        })
    }

    /// From a PEM file: PKCS #8, without a password.
    pub fn from_pem(text: &str) -> Result<Self> {
        if text.contains("BEGIN EC PRIVATE KEY") || text.contains("BEGIN ENCRYPTED PRIVATE KEY") {
            return Err(invalid(
                "the signing key is not PKCS #8 without a password; `openssl pkcs8 -topk8 -nocrypt` makes it so",
            ));
        }
        match &unpem(text, PRIVATE)?[..] {
            [pkcs8] => Self::from_pkcs8(pkcs8.clone()),
            keys => Err(invalid(format!(
                "there are {} private keys in the PEM file; one is wanted",
                keys.len()
            ))),
        }
    }

    /// As PKCS #8, PEM. It is a secret.
    pub fn to_pem(&self) -> String {
        pem(PRIVATE, &self.pkcs8)
    }

    /// The key that checks what this one signs.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A signature (DER) of a message.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        let signature = signature.map_err(|_| invalid("the key does not sign"))?;
        Ok(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.public.id())
            .finish_non_exhaustive()
    }
}

impl TrustedKeys {
    /// All public keys of a PEM file, one after the other; at least one.
    pub fn from_pem(text: &str) -> Result<Self> {
        if text.contains(PRIVATE) {
            return Err(invalid(
                "that is a private key; hosts are told public ones, and nobody the private one",
            ));
        }
        let keys = unpem(text, PUBLIC)?;
        if keys.is_empty() {
            return Err(invalid("there is no public key in the PEM file"));
        }
        let keys = keys.iter().map(|der| PublicKey::from_der(der));
        keys.collect::<Result<_>>().map(Self)
    }

    /// The keys.
    pub fn keys(&self) -> &[PublicKey] {
        &self.0
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|&letter| char::from(letter)));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

/// The bytes of every block of this label.
fn unpem(text: &str, label: &str) -> Result<Vec<Vec<u8>>> {
    if text.len() > PEM_LIMIT {
        return Err(invalid(format!(
            "the PEM file has more than {PEM_LIMIT} bytes"
        )));
    }
    let (begin, end) = (
        format!("-----BEGIN {label}-----"),
        format!("-----END {label}-----"),
    );
    let mut blocks = Vec::new();
    for block in text.split(&begin).skip(1) {
        let Some((block, _)) = block.split_once(&end) else {
            return Err(invalid(format!("the PEM file has no {end}")));
        };
        let letters: String = block.split_whitespace().collect();
        let der = BASE64_STANDARD
            .decode(letters)
            .map_err(|error| invalid(format!("the PEM file is damaged: {error}")))?;
        blocks.push(der);
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_through_pem() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::from_pem(&key.to_pem()).unwrap();
        assert_eq!(again.public(), key.public());
        let public = key.public().to_pem();
        assert_eq!(&PublicKey::from_pem(&public).unwrap(), key.public());
        let other = SigningKey::generate().unwrap();
        let both =
            TrustedKeys::from_pem(&format!("{public}\n{}", other.public().to_pem())).unwrap();
        assert_eq!(both.keys(), [key.public().clone(), other.public().clone()]);
        assert!(PublicKey::from_pem(&format!("{public}{public}")).is_err());
        assert!(!format!("{key:?}").contains("pkcs8"));

        let signature = key.sign(b"message").unwrap();
        assert!(again.public().verifies(b"message", &signature));
        assert!(!again.public().verifies(b"massage", &signature));
        assert!(!other.public().verifies(b"message", &signature));
    }

    #[test]
    fn what_is_no_key_is_told() {
        let key = SigningKey::generate().unwrap();
        for (text, words) in [
            ("", "no public key"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA", "has no -----END"),
            (
                "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----",
                "damaged",
            ),
            (
                "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
                "P-256",
            ),
            (&key.to_pem(), "private key"),
            (&"x".repeat(PEM_LIMIT + 1), "more than"),
        ] {
            let error = TrustedKeys::from_pem(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidKey);
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
        for (text, words) in [
            (key.public().to_pem(), "0 private keys"),
            ("-----BEGIN EC PRIVATE KEY-----".to_owned(), "openssl pkcs8"),
            (pem(PRIVATE, b"nothing"), "no key of the curve"),
        ] {
            let error = SigningKey::from_pem(&text).unwrap_err();
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
    }
}
