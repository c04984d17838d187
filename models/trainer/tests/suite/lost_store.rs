//! A store that takes no checkpoints for a while, or not at all.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::interrupted::wait_for_checkpoint;
use crate::trainer::{Trainer, tell_to_stop};

const TRAINING: &str =
    "resnet --data data --epochs 3 --batch 4 --checkpoint-every 5 --learning-rate 0.01";

/// As [`at_most`] has them: more than the model needs, and fewer than its checkpoints.
const BETWEEN: usize = 2300;

const WARNING: &str = "warning: the checkpoint after step ";

/// Files may have as many units of the shell, 512 or 1024 bytes each. The signal would end the run before its write
/// has failed.
fn at_most(units: usize) -> String {
    format!("trap '' XFSZ; ulimit -f {units}; ")
}

/// Trains in `run`, from a shell that has done `before`; what it says goes into `log`.
fn start(trainer: &Trainer, before: &str, run: &str) -> Child {
    start_with(trainer, before, run, "")
}

/// The same with more options.
fn start_with(trainer: &Trainer, before: &str, run: &str, more: &str) -> Child {
    let program = env!("CARGO_BIN_EXE_dunlin-train");
    let script =
        format!("{before}exec {program} {TRAINING} --run {run} --output {run}-model {more}");
    Command::new("sh")
        .args(["-c", &script])
        .current_dir(trainer.folder.path())
        .env_remove("DUNLIN_STORE")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(trainer.path("log")).unwrap())
        .spawn()
        .unwrap()
}

fn log(trainer: &Trainer) -> String {
    fs::read_to_string(trainer.path("log")).unwrap()
}

fn told(trainer: &Trainer, wanted: &[&str]) {
    let text = log(trainer);
    for want in wanted {
        assert!(text.contains(want), "{want}: {text}");
    }
}

fn finish(trainer: &Trainer, mut child: Child, exit: i32) {
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(exit), "{}", log(trainer));
}

fn wait_for_warning(trainer: &Trainer, child: &mut Child) {
    let deadline = Instant::now() + Duration::from_mins(5);
    while !log(trainer).contains(WARNING) {
        assert!(
            child.try_wait().unwrap().is_none(),
            "no warning: {}",
            log(trainer)
        );
        assert!(Instant::now() < deadline, "no warning in five minutes");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The weights of a finished run.
fn weights(trainer: &Trainer, run: &str) -> Vec<u8> {
    fs::read(trainer.path(&format!("{run}-model/model.onnx"))).unwrap()
}

/// Those of a run that nothing has happened to.
fn undisturbed(trainer: &Trainer) -> Vec<u8> {
    finish(trainer, start(trainer, "", "whole"), 0);
    assert!(!log(trainer).contains("warning"));
    weights(trainer, "whole")
}

/// Moves something to where the run may just have made a folder anew.
fn put(from: &Path, to: &Path) {
    while fs::rename(from, to).is_err() {
        fs::remove_dir_all(to).unwrap();
    }
}

#[test]
fn a_store_that_is_lost_for_a_while_ends_nothing() {
    let trainer = Trainer::new(60);
    let whole = undisturbed(&trainer);
    let mut child = start(&trainer, "", "lost");
    wait_for_checkpoint(&trainer.path("lost/checkpoints"), &mut child);
    let [lost, away, file] = ["lost", "away", "file"].map(|name| trainer.path(name));
    fs::write(&file, "").unwrap();
    fs::rename(&lost, &away).unwrap();
    put(&file, &lost);
    wait_for_warning(&trainer, &mut child);
    fs::remove_file(&lost).unwrap();
    put(&away, &lost);
    finish(&trainer, child, 0);
    assert!(weights(&trainer, "lost") == whole, "another network");
}

#[test]
fn what_is_too_large_for_the_disk_is_told_and_leaves_nothing() {
    let trainer = Trainer::new(60);
    let whole = undisturbed(&trainer);
    // Neither a checkpoint nor a model fits, anywhere.
    fs::create_dir(trainer.path("tmp")).unwrap();
    let full = at_most(64) + "export TMPDIR=$PWD/tmp; ";
    finish(&trainer, start(&trainer, &full, "full"), 5);
    told(
        &trainer,
        &[
            WARNING,
            "the last one, can't be stored",
            "could not write full-model/",
            "The model can be written nowhere",
            "the same command again",
        ],
    );
    for place in ["full", "tmp"] {
        assert_eq!(files(&trainer.path(place)), Vec::<String>::new());
    }

    // Told to stop: it says that nothing is kept.
    let mut child = start(&trainer, &full, "full");
    wait_for_warning(&trainer, &mut child);
    tell_to_stop(&child);
    finish(&trainer, child, 5);
    told(&trainer, &["after step 0 is lost", "--run"]);

    // With room, the same command is what it would have been.
    finish(&trainer, start(&trainer, "", "full"), 0);
    assert!(weights(&trainer, "full") == whole, "another network");
}

#[test]
fn a_model_stays_whatever_else_can_not_be_written() {
    let trainer = Trainer::new(60);
    let whole = undisturbed(&trainer);
    // The model fits, and its checkpoints, with all that the optimizer has, do not.
    let full = at_most(BETWEEN);
    finish(&trainer, start(&trainer, &full, "full"), 5);
    let last = "the last one, can't be stored: ";
    let lies = "The model lies in full-model; to publish it: dunlin push full-model --name resnet";
    told(&trainer, &[WARNING, last, lies]);
    assert_eq!(files(&trainer.path("full")), Vec::<String>::new());
    assert!(weights(&trainer, "full") == whole, "another network");

    // It is published, if there is room for that.
    let publish = "--publish shapes --store file:store";
    let child = start_with(&trainer, &full, "full", publish);
    finish(&trainer, child, 5);
    told(&trainer, &[last, "shapes@1 is published all the same"]);
    assert!(
        trainer
            .path("store/models/shapes/versions/1.json")
            .is_file()
    );

    // The same network, under another name.
    let shapes = weights(&trainer, "full");

    // Its folder can't be made: it goes to another one.
    let spare = "mkdir tmp; export TMPDIR=$PWD/tmp; touch spare-model; ";
    finish(&trainer, start(&trainer, spare, "spare"), 1);
    told(
        &trainer,
        &["could not write spare-model", "the model is written to"],
    );
    let folder = fs::read_dir(trainer.path("tmp")).unwrap().next().unwrap();
    let folder = folder.unwrap().path();
    let push = format!("dunlin push {} --name resnet", folder.display());
    told(&trainer, &[&push]);
    assert!(fs::read(folder.join("model.onnx")).unwrap() == whole);

    // The store is lost before it is published, or before the gate is judged.
    let [store, away] = ["store", "away"].map(|name| trainer.path(name));
    for (run, more, want) in [
        (
            "lost",
            "--precision f16",
            "The model lies in lost-model; to publish it: dunlin push lost-model --name shapes --precision f16",
        ),
        (
            "unjudged",
            "--require 'accuracy>=production'",
            "so the model is not published; it lies in unjudged-model",
        ),
    ] {
        let mut child = start_with(&trainer, "", run, &format!("{publish} {more}"));
        wait_for_checkpoint(&trainer.path(run).join("checkpoints"), &mut child);
        fs::rename(&store, &away).unwrap();
        fs::write(&store, "").unwrap();
        finish(&trainer, child, 5);
        told(&trainer, &["error: ", want]);
        assert!(weights(&trainer, run) == shapes, "another network");
        fs::remove_file(&store).unwrap();
        fs::rename(&away, &store).unwrap();
    }
}

#[test]
fn a_full_disk_that_is_freed_ends_nothing() {
    let trainer = Trainer::new(60);
    let place = trainer.path("tiny");
    fs::create_dir(&place).unwrap();
    let mount = |options: &str| {
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&place);
        command
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    if !mount("size=64k") {
        eprintln!("skipped: this user may not mount a small file system");
        return;
    }
    let _mounted = Mounted(&place);
    let whole = undisturbed(&trainer);
    let mut child = start(&trainer, "", "tiny");
    wait_for_warning(&trainer, &mut child);
    assert!(
        log(&trainer).contains("free some space"),
        "{}",
        log(&trainer)
    );
    assert!(mount("remount,size=64m"));
    finish(&trainer, child, 0);
    assert!(weights(&trainer, "tiny") == whole, "another network");
}

/// A file system that goes when the test does.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

/// All that have bytes, below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.metadata().unwrap().len() > 0 {
            found.push(path.display().to_string());
        }
    }
    found
}
