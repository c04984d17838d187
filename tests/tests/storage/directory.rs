//! A directory: writers in several processes, writers that are killed, a full disk.
//!
//! The other processes are this program again, told by `DUNLIN_TEST_WRITER` what to do.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dunlin_storage::{ErrorKind, ObjectKey, PutCondition, Store, StoreOptions, open};
use dunlin_tests::conformance::pattern;

const WRITER: &str = "DUNLIN_TEST_WRITER";
const FOLDER: &str = "DUNLIN_TEST_FOLDER";
const BLOB: usize = 300_000;

async fn store(folder: &Path) -> Arc<dyn Store> {
    open(
        &format!("file:{}", folder.display()),
        &StoreOptions::default(),
    )
    .await
    .unwrap()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name).unwrap()
}

/// This program once more, running only [`writer`].
fn spawn(role: &str, folder: &Path) -> Child {
    writer_command(Command::new(env::current_exe().unwrap()), role, folder)
        .spawn()
        .unwrap()
}

fn writer_command(mut command: Command, role: &str, folder: &Path) -> Command {
    command.args(["--exact", "directory::writer", "--ignored", "--nocapture"]);
    command
        .env(WRITER, role)
        .env(FOLDER, folder)
        .stdout(Stdio::null());
    command
}

#[tokio::test]
#[ignore = "the other side of the tests below, which start it"]
async fn writer() {
    let (Ok(role), Ok(folder)) = (env::var(WRITER), env::var(FOLDER)) else {
        return;
    };
    let store = store(Path::new(&folder)).await;
    match role.as_str() {
        "counts" => count(&*store).await,
        "creates" => create(&*store).await,
        "forever" => write_forever(&*store).await,
        "fills" => fill(&*store).await,
        other => panic!("{other}?"),
    }
}

const EACH: usize = 25;

/// Adds one to the counter, so many times.
async fn count(store: &dyn Store) {
    let mut done = 0;
    while done < EACH {
        let object = store.get(&key("counter")).await.unwrap();
        let count: usize = std::str::from_utf8(&object.bytes).unwrap().parse().unwrap();
        let next = Bytes::from((count + 1).to_string());
        match store
            .put(
                &key("counter"),
                next,
                PutCondition::IfMatch(object.meta.etag),
            )
            .await
        {
            Ok(_) => done += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Precondition, "{error}"),
        }
    }
}

/// Tries to create each of some objects, and notes which ones it did.
async fn create(store: &dyn Store) {
    for number in 0..EACH {
        let content = Bytes::from(std::process::id().to_string());
        match store
            .put(
                &key(&format!("race/{number}")),
                content,
                PutCondition::IfAbsent,
            )
            .await
        {
            Ok(_) => {
                let mine = key(&format!("won/{number}/{}", std::process::id()));
                store
                    .put(&mine, "".into(), PutCondition::IfAbsent)
                    .await
                    .unwrap();
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}"),
        }
    }
}

/// As a publisher: a blob, then what names it, then a swap; until it is killed.
async fn write_forever(store: &dyn Store) {
    for number in 0_u64.. {
        let name = format!("{}-{number}", std::process::id());
        let blob = Bytes::from(pattern(BLOB, number));
        store
            .put(&key(&format!("blobs/{name}")), blob, PutCondition::IfAbsent)
            .await
            .unwrap();
        let manifest = Bytes::from(format!("{name} {number}"));
        let manifest_key = key(&format!("manifests/{name}"));
        store
            .put(&manifest_key, manifest.clone(), PutCondition::IfAbsent)
            .await
            .unwrap();
        let condition = match store.head(&key("newest")).await {
            Ok(meta) => PutCondition::IfMatch(meta.etag),
            Err(_) => PutCondition::IfAbsent,
        };
        let _ = store.put(&key("newest"), manifest, condition).await;
    }
}

async fn fill(store: &dyn Store) {
    store
        .put(&key("small"), "fits".into(), PutCondition::Always)
        .await
        .unwrap();
    let large = Bytes::from(pattern(4 << 20, 1));
    let error = store
        .put(&key("large"), large, PutCondition::Always)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error:?}");
    assert!(error.to_string().contains("large"), "{error}");
    let error = store.head(&key("large")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // What was begun is gone again: there is room as before.
    store
        .put(&key("small"), "still fits".into(), PutCondition::Always)
        .await
        .unwrap();
}

fn all_well(children: Vec<Child>) {
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
}

#[tokio::test]
async fn processes_lose_no_increment() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    store
        .put(&key("counter"), "0".into(), PutCondition::Always)
        .await
        .unwrap();
    all_well((0..4).map(|_| spawn("counts", folder.path())).collect());
    assert_eq!(
        store.get(&key("counter")).await.unwrap().bytes,
        (4 * EACH).to_string()
    );
}

#[tokio::test]
async fn of_processes_one_creates() {
    let folder = tempfile::tempdir().unwrap();
    all_well((0..4).map(|_| spawn("creates", folder.path())).collect());
    let store = store(folder.path()).await;
    for number in 0..EACH {
        let winners = store.list(&format!("won/{number}/")).await.unwrap();
        assert_eq!(winners.len(), 1, "object {number}: {winners:?}");
        let content = store
            .get(&key(&format!("race/{number}")))
            .await
            .unwrap()
            .bytes;
        let content = std::str::from_utf8(&content).unwrap();
        assert!(winners[0].key.as_str().ends_with(&format!("/{content}")));
    }
}

#[tokio::test]
async fn killed_writers_leave_whole_objects() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    for round in 0..12_u64 {
        let mut writers = [
            spawn("forever", folder.path()),
            spawn("forever", folder.path()),
        ];
        let before = store.list("manifests/").await.unwrap().len();
        let start = Instant::now();
        // At least one write, and then death at another moment in every round.
        while store.list("manifests/").await.unwrap().len() == before {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "nothing is written"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(Duration::from_micros(round * 1700)).await;
        for writer in &mut writers {
            writer.kill().unwrap();
            writer.wait().unwrap();
        }
        check(&*store).await;
    }
    let unfinished = folder.path().join(".dunlin/unfinished");
    fs::write(unfinished.join("1-dead"), "half an obj").unwrap();
    let before = fs::read_dir(&unfinished).unwrap().count();
    // The locks of the dead are free, and a new writer cleans up behind them.
    for name in ["newest", "another"] {
        self::store(folder.path())
            .await
            .put(&key(name), "by the living".into(), PutCondition::Always)
            .await
            .unwrap();
    }
    let left: Vec<_> = fs::read_dir(&unfinished).unwrap().collect();
    assert!(left.is_empty(), "{left:?} of {before} are left");
    println!("{before} unfinished files were cleaned up");
}

/// All that is named is there, and whole.
async fn check(store: &dyn Store) {
    let mut manifests = store.list("manifests/").await.unwrap();
    // The earlier ones were checked in the rounds before.
    manifests.sort_by_key(|manifest| manifest.modified);
    for manifest in manifests.iter().rev().take(12) {
        let text = store.get(&manifest.key).await.unwrap().bytes;
        let text = std::str::from_utf8(&text).unwrap();
        let (name, seed) = text.split_once(' ').unwrap();
        let blob = store
            .get(&key(&format!("blobs/{name}")))
            .await
            .unwrap()
            .bytes;
        assert!(
            blob == pattern(BLOB, seed.parse().unwrap()),
            "{name} is not whole"
        );
    }
    for blob in store.list("blobs/").await.unwrap() {
        assert_eq!(blob.size, BLOB as u64, "{}", blob.key);
    }
    let newest = store.get(&key("newest")).await;
    if let Ok(newest) = newest {
        let text = String::from_utf8(newest.bytes.to_vec()).unwrap();
        let name = text.split_once(' ').unwrap().0;
        store
            .head(&key(&format!("manifests/{name}")))
            .await
            .unwrap();
    }
}

/// On a file system of one megabyte, where the system lets an ordinary user have one.
#[tokio::test]
async fn a_full_disk_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let private = ["--user", "--map-root-user", "--mount"];
    let mount = "mount -t tmpfs -o size=1m tmpfs \"$DUNLIN_TEST_FOLDER\"";
    let try_it = |script: &str| {
        let mut command = Command::new("unshare");
        command
            .args(private)
            .args(["sh", "-c", script, "sh"])
            .arg(env::current_exe().unwrap());
        writer_command(command, "fills", folder.path())
    };
    if !try_it(mount)
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
    {
        println!("skipped: no private file system can be mounted here");
        return;
    }
    let status = try_it(&format!("{mount} && exec \"$@\"")).status().unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn strange_directories_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let options = StoreOptions::default();
    let error = open(file.to_str().unwrap(), &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(
        error.to_string().contains("it is a file; name a directory"),
        "{error}"
    );

    // One that is not there is an empty store, until it is written to.
    let absent = folder.path().join("not/yet/there");
    let store = store(&absent).await;
    assert_eq!(store.list("").await.unwrap(), []);
    assert!(!absent.exists());
    store
        .put(&key("a/b"), "x".into(), PutCondition::IfAbsent)
        .await
        .unwrap();
    assert_eq!(store.list("").await.unwrap().len(), 1);

    // In a directory a name is a file or a folder.
    for name in ["a", "a/b/c"] {
        let error = store
            .put(&key(name), "x".into(), PutCondition::Always)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidKey, "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let long = key(&"x".repeat(300));
    let error = store
        .put(&long, "x".into(), PutCondition::Always)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidKey, "{error}");

    // What others put there is seen, if its name is a key; a link in a circle does no harm.
    fs::create_dir_all(absent.join("dropped")).unwrap();
    fs::write(absent.join("dropped/by hand"), "y").unwrap();
    std::os::unix::fs::symlink(&absent, absent.join("dropped/circle")).unwrap();
    let listed = store.list("dropped/").await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(store.get(&listed[0].key).await.unwrap().bytes, "y");
    assert_eq!(store.list_folders("").await.unwrap(), ["a", "dropped"]);
}
