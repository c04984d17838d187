//! A run that was killed or told to stop goes on as if nothing had happened.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use crate::trainer::{Trainer, tell_to_stop};
use crate::{labelled, series, texts};

const RESNET: &str = "resnet --epochs 3 --batch 4 --checkpoint-every 5 --learning-rate 0.01";

fn options<'a>(training: &'a str, run: &'a str, output: &'a str) -> Vec<&'a str> {
    let rest = ["--run", run, "--output", output];
    training.split(' ').chain(rest).collect()
}

/// What the weights and the curve of a finished run are.
fn outcome(trainer: &Trainer, model: &str) -> (Vec<u8>, String) {
    let onnx = fs::read(trainer.path(model).join("model.onnx")).unwrap();
    (onnx, trainer.report(model)["history"].to_string())
}

pub(crate) fn wait_for_checkpoint(folder: &Path, child: &mut Child) {
    let deadline = Instant::now() + Duration::from_mins(5);
    while !fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some()) {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended before its first checkpoint"
        );
        assert!(Instant::now() < deadline, "no checkpoint in five minutes");
        thread::sleep(Duration::from_millis(5));
    }
}

fn steps(folder: &Path) -> Vec<usize> {
    let names = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name());
    let mut steps: Vec<usize> = names
        .map(|name| name.to_str().unwrap().parse().unwrap())
        .collect();
    steps.sort_unstable();
    steps
}

/// A run that is killed once it has a checkpoint ends with the weights and the curve of an unbroken one, which are
/// given back with its number of steps.
fn killed_ends_as_unbroken(trainer: &Trainer, training: &str) -> ((Vec<u8>, String), usize) {
    trainer.run(&options(training, "whole", "one"), 0);
    let whole = outcome(trainer, "one");
    let end = *steps(&trainer.path("whole/checkpoints")).last().unwrap();

    let checkpoints = trainer.path("killed/checkpoints");
    let mut child = trainer.start(&options(training, "killed", "two"));
    wait_for_checkpoint(&checkpoints, &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    let at = *steps(&checkpoints).last().unwrap();
    assert!(at < end, "{training}: killed at step {at} of {end}");
    let output = trainer.run(&options(training, "killed", "two"), 0);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains(&format!("goes on after step {at} of {end}")),
        "{training}: {text}"
    );
    assert!(
        outcome(trainer, "two") == whole,
        "{training}: killed after step {at}: another curve"
    );
    (whole, end)
}

#[test]
fn each_recipe_goes_on_after_a_kill() {
    let pictures = || Trainer::new(40);
    let mails = || Trainer::with_file("all.csv", &texts::csv(&texts::texts(160)));
    let questions = || Trainer::with_file("all.jsonl", &texts::pairs(160));
    let gestures = || Trainer::with_file("all.csv", &labelled::csv(&labelled::series(120)));
    let temperatures = || Trainer::with_file("all.csv", &series::csv(600));
    let small = "--epochs 3 --batch 8 --checkpoint-every 4 --width 8";
    let windows = "--columns temp --length 24 --steps 8";
    for (trainer, recipe) in [
        (pictures(), "cnn".to_owned()),
        (pictures(), "resnet".to_owned()),
        (
            mails(),
            "transformer --max-tokens 16 --vocabulary 400".to_owned(),
        ),
        (
            mails(),
            "rnn --task text-classification --max-tokens 16 --vocabulary 400".to_owned(),
        ),
        (
            gestures(),
            "rnn --task series-classification --cell lstm --length 12".to_owned(),
        ),
        (temperatures(), format!("rnn {windows}")),
        (
            questions(),
            "embed --text question --pair answer --max-tokens 16".to_owned(),
        ),
    ] {
        killed_ends_as_unbroken(&trainer, &format!("{recipe} {small}"));
    }
}

#[test]
fn killed_and_stopped_runs_end_as_an_unbroken_one() {
    let trainer = Trainer::new(60);
    let options = |run, output| options(RESNET, run, output);
    let (whole, end) = killed_ends_as_unbroken(&trainer, RESNET);

    // Told to stop: it leaves a checkpoint, and says so.
    let checkpoints = trainer.path("stopped/checkpoints");
    let mut child = trainer.start(&options("stopped", "three"));
    wait_for_checkpoint(&checkpoints, &mut child);
    tell_to_stop(&child);
    assert_eq!(child.wait().unwrap().code(), Some(9));
    let at = *steps(&checkpoints).last().unwrap();
    assert!(at < end, "stopped at step {at}, the last is {end}");
    trainer.run(&options("stopped", "three"), 0);
    assert!(
        outcome(&trainer, "three") == whole,
        "stopped after step {at}: another curve"
    );

    // The last checkpoint damaged: the one before it is taken.
    let [before, last] = steps(&trainer.path("whole/checkpoints"))[..] else {
        panic!("two checkpoints stay");
    };
    let file = trainer.path(&format!("whole/checkpoints/{last:012}"));
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let output = trainer.run(&options("whole", "four"), 0);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("is damaged") && text.contains(&format!("after step {before} ")),
        "{text}"
    );
    assert!(outcome(&trainer, "four") == whole);

    // Other options, or other data: not the same run.
    let other = [&options("whole", "five")[..], &["--seed", "1"]].concat();
    let output = trainer.run(&other, 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("other options"));
    fs::remove_file(trainer.path("data/square/0.png")).unwrap();
    let output = trainer.run(&options("whole", "five"), 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("the data has changed"));
}
