//! Data in its forms, and what is wrong with it.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use dunlin_storage::StoreOptions;
use dunlin_trainer::data::{Dataset, GatherOptions, Part, Source, Split};
use dunlin_trainer::{ErrorKind, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::pictures::{self, CLASSES};

pub(crate) fn options() -> GatherOptions {
    GatherOptions {
        split: Split::new(0.1, 0.2).unwrap(),
        damaged_limit: 3,
        slice_by: Vec::new(),
    }
}

pub(crate) fn source(place: &Path) -> Result<Source> {
    // It outlives the data, whose pictures are read when they are asked for.
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
    let url = format!("file:{}", place.display());
    Source::open(&url, StoreOptions::default(), RUNTIME.handle().clone())
}

fn gather(folder: &Path, options: &GatherOptions) -> Result<Dataset> {
    Dataset::pictures(source(folder)?, options, None)
}

fn folder_of_pictures() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    pictures::write(folder.path(), 60);
    folder
}

#[test]
fn a_folder_a_class_is_split_alike_each_time() {
    let folder = folder_of_pictures();
    let first = gather(folder.path(), &options()).unwrap();
    assert_eq!(first.labels, CLASSES);
    assert_eq!(first.shape().picture, [1, 12, 12]);
    let sizes = Part::ALL.map(|part| first.part(part).len());
    assert_eq!(sizes.iter().sum::<usize>(), 180);
    assert!(sizes[1] > 5 && sizes[2] > 20, "{sizes:?}");
    assert_eq!(
        gather(folder.path(), &options()).unwrap().census.digest,
        first.census.digest
    );

    // A new name changes nothing; one picture more moves no other.
    let square = folder.path().join("square");
    fs::rename(square.join("0.png"), square.join("renamed.png")).unwrap();
    let test = |data: &Dataset| {
        let mut digests: Vec<_> = data
            .part(Part::Test)
            .iter()
            .map(|example| example.digest.hex())
            .collect();
        digests.sort_unstable();
        digests
    };
    let renamed = gather(folder.path(), &options()).unwrap();
    assert_eq!(test(&renamed), test(&first));
}

#[test]
fn copies_never_stand_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["train", "test"] {
        pictures::write(&folder.path().join(part), 20);
    }
    // The same pictures in both parts: nothing is left to train on.
    let error = gather(folder.path(), &options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    // New pictures of the same kind make up for it.
    let more = folder.path().join("train");
    for class in CLASSES {
        let from = more.join(class);
        for number in 0..20 {
            let mut picture = image::open(from.join(format!("{number}.png"))).unwrap();
            picture.invert();
            picture
                .save(from.join(format!("inverted-{number}.png")))
                .unwrap();
        }
    }
    let data = gather(folder.path(), &options()).unwrap();
    assert_eq!(data.census.leaks, 60);
    assert_eq!(data.part(Part::Test).len(), 60);
    assert!(
        data.census
            .to_string()
            .contains("60 left out: the same is held out")
    );
}

#[test]
fn damaged_pictures_are_counted_skipped_and_limited() {
    let folder = folder_of_pictures();
    let square = folder.path().join("square");
    fs::write(square.join("0.png"), b"not a picture").unwrap();
    let half = fs::read(square.join("1.png")).unwrap();
    fs::write(square.join("1.png"), &half[..half.len() / 2]).unwrap();
    fs::write(square.join("2.png"), b"").unwrap();
    fs::write(square.join("notes.txt"), b"not counted").unwrap();
    let data = gather(folder.path(), &options()).unwrap();
    assert_eq!(data.census.damaged, 3);
    assert!(
        data.census.damaged_files[0].starts_with("square/0.png: "),
        "{:?}",
        data.census.damaged_files
    );
    fs::write(square.join("3.png"), b"").unwrap();
    let error = gather(folder.path(), &options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(
        error
            .to_string()
            .contains("4 of 180 pictures are damaged, at most 3 may be"),
        "{error}"
    );
}

#[test]
fn pictures_of_other_sizes_and_modes_become_one() {
    let folder = folder_of_pictures();
    let lying = folder.path().join("lying");
    let picture = image::open(lying.join("0.png")).unwrap();
    picture
        .resize_exact(30, 20, image::imageops::FilterType::Nearest)
        .save(lying.join("0.png"))
        .unwrap();
    image::DynamicImage::from(picture.to_rgba8())
        .save(lying.join("1.png"))
        .unwrap();
    let with = |size| Dataset::pictures(source(folder.path()).unwrap(), &options(), size).unwrap();
    // Not all alike: the usual size, and colour, unless somebody says otherwise.
    assert_eq!(with(None).shape().picture, [3, 224, 224]);
    let data = with(Some([16, 8]));
    assert_eq!(data.shape().picture, [3, 16, 8]);
    let example = &data.part(Part::Train)[0];
    assert_eq!(data.decoder.numbers(example).unwrap().len(), 3 * 16 * 8);
}

#[test]
fn data_that_teaches_nothing_is_refused_with_the_reason() {
    let one = tempfile::tempdir().unwrap();
    pictures::write(one.path(), 5);
    fs::remove_dir_all(one.path().join("lying")).unwrap();
    fs::remove_dir_all(one.path().join("square")).unwrap();

    let loose = tempfile::tempdir().unwrap();
    fs::write(loose.path().join("a.png"), b"x").unwrap();

    let mixed = tempfile::tempdir().unwrap();
    pictures::write(mixed.path(), 2);
    pictures::write(&mixed.path().join("train"), 2);

    let hollow = folder_of_pictures();
    let square = hollow.path().join("square");
    fs::remove_dir_all(&square).unwrap();
    fs::create_dir(&square).unwrap();
    fs::write(square.join("0.png"), b"no picture").unwrap();

    let empty = tempfile::tempdir().unwrap();
    let cases = [
        (empty.path(), ErrorKind::NotFound, "there are no files"),
        (
            Path::new("/nowhere"),
            ErrorKind::NotFound,
            "there are no files",
        ),
        (one.path(), ErrorKind::Data, "one class, \"standing\""),
        (loose.path(), ErrorKind::Data, "each class is a folder"),
        (mixed.path(), ErrorKind::Data, "beside and inside"),
        (hollow.path(), ErrorKind::Data, "class \"square\" is empty"),
    ];
    for (folder, kind, want) in cases {
        let error = gather(folder, &options()).expect_err(want);
        assert_eq!(error.kind(), kind, "{want}: {error}");
        assert!(error.to_string().contains(want), "{want}: {error}");
    }
}

/// An IDX file.
fn idx(shape: &[u32], values: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, shape.len() as u8];
    file.extend(shape.iter().flat_map(|size| size.to_be_bytes()));
    file.extend(values);
    file
}

/// MNIST's four files with pictures of 8×8, one packed; which part has how many of each of two classes.
fn write_idx(folder: &Path) {
    for (name, offset, count) in [("train", 0_u32, 40_u32), ("t10k", 100, 10)] {
        let classes: Vec<u8> = (0..count).map(|at| (at % 2) as u8).collect();
        let pixels: Vec<u8> = (0..count)
            .flat_map(|at| (0..64).map(move |pixel| (pixel * 3 + offset + at) as u8))
            .collect();
        let images = idx(&[count, 8, 8], &pixels);
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        std::io::Write::write_all(&mut packed, &images).unwrap();
        fs::write(
            folder.join(format!("{name}-images-idx3-ubyte.gz")),
            packed.finish().unwrap(),
        )
        .unwrap();
        fs::write(
            folder.join(format!("{name}-labels-idx1-ubyte")),
            idx(&[count], &classes),
        )
        .unwrap();
    }
}

#[test]
fn mnists_files_are_read_and_serving_sees_the_same_pixels() {
    let folder = tempfile::tempdir().unwrap();
    write_idx(folder.path());
    let data = gather(folder.path(), &options()).unwrap();
    assert_eq!(data.labels, ["0", "1"]);
    assert_eq!(
        data.part(Part::Test).len(),
        10,
        "the data's own test part is taken"
    );
    assert_eq!(data.shape().picture, [1, 8, 8]);
    let plain = data.decoder.plain().unwrap();
    let picture = plain.numbers(&data.part(Part::Test)[2]).unwrap();
    let want: Vec<f32> = (0..64_u32)
        .map(|pixel| f32::from((pixel * 3 + 102) as u8) / 255.0)
        .collect();
    assert!(
        picture
            .iter()
            .zip(&want)
            .all(|(one, other)| (one - other).abs() < 1e-6),
        "{picture:?}"
    );

    fs::write(folder.path().join("labels.txt"), "ankle\nbag\n").unwrap();
    assert_eq!(
        gather(folder.path(), &options()).unwrap().labels,
        ["ankle", "bag"]
    );
    fs::write(folder.path().join("labels.txt"), "ankle\n").unwrap();
    let error = gather(folder.path(), &options()).unwrap_err().to_string();
    assert!(
        error.contains("a label 1, and names for 1 classes"),
        "{error}"
    );
    fs::write(
        folder.path().join("train-labels-idx1-ubyte"),
        idx(&[39], &[0; 39]),
    )
    .unwrap();
    let error = gather(folder.path(), &options()).unwrap_err().to_string();
    assert!(
        error.contains("40 pictures") && error.contains("39 labels"),
        "{error}"
    );
}

#[test]
fn cifars_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let record = |class: u8, ink: u8| {
        let mut record = vec![class];
        for channel in 0..3_u8 {
            record.extend(
                (0..1024_u32).map(|pixel| ink.wrapping_add(channel * 50).wrapping_add(pixel as u8)),
            );
        }
        record
    };
    let batch = |count: u8, from: u8| {
        (0..count)
            .flat_map(|at| record(at % 2, from + at))
            .collect::<Vec<u8>>()
    };
    fs::write(folder.path().join("data_batch_1.bin"), batch(30, 0)).unwrap();
    fs::write(folder.path().join("test_batch.bin"), batch(6, 100)).unwrap();
    let data = gather(folder.path(), &options()).unwrap();
    assert_eq!(data.shape().picture, [3, 32, 32]);
    let picture = data
        .decoder
        .plain()
        .unwrap()
        .numbers(&data.part(Part::Test)[0])
        .unwrap();
    for channel in 0..3_u8 {
        let got = picture[usize::from(channel) * 1024 + 5] * 255.0;
        assert!(
            (got - f32::from(100 + channel * 50 + 5)).abs() < 1e-3,
            "channel {channel}: {got}"
        );
    }
    fs::write(folder.path().join("data_batch_2.bin"), record(10, 0)).unwrap();
    let error = gather(folder.path(), &options()).unwrap_err().to_string();
    assert!(error.contains("label 10 is out of range"), "{error}");
    fs::write(folder.path().join("data_batch_2.bin"), [0; 100]).unwrap();
    let error = gather(folder.path(), &options()).unwrap_err().to_string();
    assert!(error.contains("is damaged: 100 bytes"), "{error}");
}
