//! Signatures: hosts with trusted keys serve nothing else, keys take over from each other, and
//! `verify` says what it checked.

use std::fs;

use crate::exit::{CORRUPT, INVALID, OK, UNTRUSTED, USAGE};
use crate::process::{Dunlin, digits};

/// A key, and where its two files are.
fn key(dunlin: &Dunlin, name: &str) -> (String, String) {
    let secret = dunlin.folder.path().join(name).display().to_string();
    dunlin.run(&["key", "new", &secret], OK);
    let public = format!("{secret}.pub");
    (secret, public)
}

#[test]
fn a_host_with_trusted_keys_serves_what_they_signed_and_nothing_else() {
    let dunlin = Dunlin::new();
    let (old, old_public) = key(&dunlin, "old.pem");
    let (new, new_public) = key(&dunlin, "new.pem");
    dunlin.run(&["push", &digits("")], OK);
    dunlin.run(&["push", &digits(""), "--sign-key", &old], OK);
    let picture = digits("examples/3.png");
    let run = |version: &str, keys: &str, code: i32| {
        dunlin.run(&["run", version, &picture, "--trusted-keys", keys], code)
    };
    assert!(run("digits@2", &old_public, OK).out.contains('3'));
    let unsigned = run("digits@1", &old_public, UNTRUSTED);
    assert!(
        unsigned.err.contains("signed by none of the trusted keys"),
        "{}",
        unsigned.err
    );
    run("digits@2", &new_public, UNTRUSTED);

    // Over HTTP: the version that is not trusted is forbidden, the other one answers.
    let server = dunlin.serve(&["--trusted-keys", &old_public]);
    let bytes = fs::read(&picture).expect("the picture");
    let (status, body) = server.post("/predict/digits@1", "image/png", &bytes);
    let body = String::from_utf8_lossy(&body).into_owned();
    assert_eq!(status, 403, "{body}");
    assert!(body.contains("\"kind\":\"untrusted\""), "{body}");
    assert_eq!(server.post("/predict/digits@2", "image/png", &bytes).0, 200);

    // A new key takes over: hosts trust both, what is there is signed anew, the old one goes.
    let both = dunlin.folder.path().join("both.pem");
    let keys = [&old_public, &new_public].map(|path| fs::read_to_string(path).expect("a key"));
    fs::write(&both, keys.concat()).expect("it is written");
    let both = both.display().to_string();
    run("digits@2", &both, OK);
    dunlin.run(&["sign", "digits@2", "--sign-key", &new], OK);
    run("digits@2", &both, OK);
    run("digits@2", &new_public, OK);
    dunlin.run(&["sign", "digits", "--sign-key", &new], USAGE);
}

#[test]
fn verify_says_what_it_checked() {
    let dunlin = Dunlin::new();
    let (secret, public) = key(&dunlin, "key.pem");
    let (_, other) = key(&dunlin, "other.pem");
    dunlin.run(&["push", &digits(""), "--sign-key", &secret], OK);
    let told = dunlin
        .run(&["verify", "digits", "--trusted-keys", &public], OK)
        .out;
    for words in [
        "digits version 1",
        "made by this trusted key",
        "model (onnx)",
        "examples",
        "labels",
        "not checked",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let told = dunlin.run(&["verify", "digits", "--json"], OK).json();
    assert_eq!(told["signatures"][0]["valid"], false, "{told}");
    assert!(
        told["unchecked"][0]
            .as_str()
            .expect("words")
            .contains("no --trusted-keys"),
        "{told}"
    );
    dunlin.run(&["verify", "digits", "--trusted-keys", &other], UNTRUSTED);
    dunlin.run(&["verify", "digits", "--trusted-keys", &secret], INVALID);

    // One changed word in the manifest, and the signature is of other bytes.
    let manifest = dunlin.store_folder().join("models/digits/versions/1.json");
    let text = fs::read_to_string(&manifest).expect("the manifest");
    fs::write(&manifest, text.replace("\"license\"", "\"lizense\"")).expect("it is written");
    let told = dunlin.run(&["verify", "digits", "--trusted-keys", &public], UNTRUSTED);
    assert!(told.err.contains("signed by none"), "{}", told.err);
    fs::write(&manifest, text).expect("it is written");
    // A signature that is another version's.
    dunlin.run(&["push", &digits(""), "--sign-key", &secret], OK);
    let folder = |version: u32| {
        dunlin
            .store_folder()
            .join(format!("models/digits/signatures/{version}"))
    };
    let only = |version: u32| {
        let mut entries = fs::read_dir(folder(version)).expect("a folder");
        entries
            .next()
            .expect("a signature")
            .expect("an entry")
            .path()
    };
    fs::copy(only(1), only(2)).expect("copied");
    let told = dunlin.run(
        &["verify", "digits@2", "--trusted-keys", &public],
        UNTRUSTED,
    );
    assert!(
        told.err.contains("of other bytes than those of"),
        "{}",
        told.err
    );
    // A file of it.
    let blobs = dunlin.store_folder().join("blobs/sha256");
    for blob in fs::read_dir(blobs).expect("a folder").flatten() {
        let mut bytes = fs::read(blob.path()).expect("a blob");
        bytes[0] ^= 1;
        fs::write(blob.path(), bytes).expect("it is written");
    }
    dunlin.run(&["verify", "digits@1", "--trusted-keys", &public], CORRUPT);
    // What is deleted leaves no signature.
    dunlin.run(&["rm", "digits@1"], OK);
    assert!(!folder(1).exists());
}

#[test]
fn a_key_is_never_written_over() {
    let dunlin = Dunlin::new();
    let (secret, _) = key(&dunlin, "key.pem");
    let before = fs::read(&secret).expect("the key");
    dunlin.run(&["key", "new", &secret], USAGE);
    assert_eq!(fs::read(&secret).expect("the key"), before);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&secret).expect("the key").permissions().mode();
        assert_eq!(mode & 0o077, 0, "others may read it: {mode:o}");
    }
}
