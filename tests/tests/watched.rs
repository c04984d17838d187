//! A guarded canary on the built `bootstrap` under AWS's Runtime Interface Emulator (`DUNLIN_TEST_RIE`
//! names it), stopped between its invocations as Lambda freezes it. What is not there is reported as
//! skipped; `.ci/run lambda` has it all.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use dunlin_registry::{Alias, ModelName, Outcome, Plan, Registry, Version};
use dunlin_storage::{StoreOptions, open};
use dunlin_tests::hosts::{Emulator, Function, binary, publish};
use dunlin_tests::requests::{Host as _, picture};

const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits");

/// Publishes digits with its labels in another order: proven, and wrong.
fn publish_wrong(dunlin: &Path, store: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |file: &str| folder.path().join(file);
    std::fs::copy(format!("{DIGITS}/model.onnx"), path("model.onnx")).expect("copied");
    std::fs::create_dir(path("examples")).expect("made");
    for digit in 0..10 {
        std::fs::write(path(&format!("examples/{digit}.png")), picture(digit)).expect("written");
    }
    let said = std::fs::read_to_string(format!("{DIGITS}/model.toml")).expect("text");
    let unlabelled = said.lines().filter(|line| !line.starts_with("label = "));
    let unlabelled: Vec<&str> = unlabelled.collect();
    std::fs::write(path("model.toml"), unlabelled.join("\n")).expect("written");
    std::fs::write(path("labels.txt"), "9\n8\n7\n6\n5\n4\n3\n2\n1\n0\n").expect("written");
    let mut push = Command::new(dunlin);
    push.arg("push").arg(folder.path());
    push.args(["--name", "digits", "--quiet", "--store", store]);
    let pushed = push.output().expect("dunlin starts");
    let said = String::from_utf8_lossy(&pushed.stderr);
    assert!(pushed.status.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_compared_while_no_caller_waits_and_before_the_freeze() {
    let Some(rie) = std::env::var_os("DUNLIN_TEST_RIE").map(PathBuf::from) else {
        eprintln!("skipped: DUNLIN_TEST_RIE is not set");
        return;
    };
    let (Some(dunlin), Some(bootstrap)) = (binary("dunlin"), binary("bootstrap")) else {
        eprintln!("skipped: `dunlin` and `bootstrap` are not built");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let url = publish(&dunlin, folder.path());
    publish_wrong(&dunlin, &url);
    let store = open(&url, &StoreOptions::default()).await.expect("a store");
    let registry = Registry::new(Arc::clone(&store));
    let (name, alias): (ModelName, _) = ("digits".parse().expect("a name"), Alias::production());
    let version = |number| Version::new(number).expect("a number");
    let promoted = registry.promote(&name, &alias, version(1), None).await;
    promoted.expect("it is proven");
    let plan = Plan {
        steps: vec![20],
        min_requests: 5,
        hold: Duration::ZERO,
        gates: "agreement=90%".parse().expect("gates"),
    };
    let begun = registry.guarded_canary(&name, &alias, version(2), &plan, None);
    begun.await.expect("it begins");

    let settings = [
        ("DUNLIN_STORE", url),
        ("DUNLIN_REFRESH_SECONDS", "0".to_owned()),
        ("DUNLIN_MIRROR_PERCENT", "100".to_owned()),
    ];
    let function = Function::launch(&Emulator::Aws(rie), &bootstrap, &settings).await;
    let headers = [("content-type", "image/png".to_owned())];
    for number in 0..200u8 {
        let body = picture(number % 10);
        let reply = function.send("POST", "/predict/digits", &headers, &body);
        let reply = reply.await;
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        function.signal("STOP");
        tokio::time::sleep(Duration::from_millis(50)).await;
        let looked = registry
            .advance(&name, &alias)
            .await
            .expect("it is looked at");
        function.signal("CONT");
        if looked.outcome == Outcome::RolledBack {
            let why = looked.why;
            assert!(why.contains("agreement 0 %"), "{why}");
            // The version was loaded, asked and compared, and where it differs kept: all before the freeze.
            let kept = store.list("shadows/digits/2/").await.expect("a list");
            assert!(!kept.is_empty());
            return;
        }
        assert_eq!(looked.outcome, Outcome::Waiting, "{}", looked.why);
    }
    panic!("the canary does not end: {:?}", function.log());
}
