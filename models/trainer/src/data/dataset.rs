//! All pictures, looked at once: what is sound, what belongs where.

use std::collections::HashMap;

use dunlin_registry::Digest;
use image::ImageDecoder as _;
use rayon::prelude::*;

use super::{Census, Content, Decoder, Example, Found, Part, Source, Split};
use crate::recipes::Shape;
use crate::{Error, ErrorKind, Result};

/// So many pictures are looked at to find out size and colour.
const PROBED: usize = 100;

/// Pictures that are larger are resized to [`USUAL_SIDE`], unless somebody says otherwise.
const SMALL_SIDE: u32 = 96;
const USUAL_SIDE: usize = 224;

/// How data is gathered.
#[derive(Debug, Clone)]
pub struct GatherOptions {
    /// Height and width that pictures are resized to. Default: their own, if they are small and of
    /// one size, else 224 × 224.
    pub size: Option<[usize; 2]>,
    /// What is held out.
    pub split: Split,
    /// More damaged pictures than this are an error.
    pub damaged_limit: usize,
}

/// Pictures for training, validation and test.
#[derive(Debug)]
pub struct Dataset {
    /// The label of each class.
    pub labels: Vec<String>,
    /// The pictures of each part, see [`part`](Self::part).
    parts: [Vec<Example>; 3],
    /// How their files are read.
    pub decoder: Decoder,
    /// What there is.
    pub census: Census,
}

impl Dataset {
    /// Reads every picture once: leaves out those that are damaged, and copies of what is held out;
    /// measures mean and deviation of the training part.
    pub fn gather(source: Source, options: &GatherOptions) -> Result<Self> {
        let url = source.url().to_owned();
        let mut census = Census {
            source: format!("{url}, {}", source.form()),
            ..Census::default()
        };
        let found = source.find()?;
        let labels = labels(&found);
        let shape = probe(&source, &found, options.size)?;
        let plain = vec![0.0; shape[0]];
        let unit = vec![1.0; shape[0]];
        let decoder = Decoder::new(source, shape, &plain, &unit)?;

        let looked: Vec<Result<Look>> = found
            .par_iter()
            .map(|found| Look::at(found, &decoder))
            .collect();
        let has = |part| found.iter().any(|found| found.part == Some(part));
        let (tested, validated) = (has(Part::Test), has(Part::Valid));
        let mut parts: [Vec<(Example, Moments)>; 3] = Default::default();
        for (found, look) in found.iter().zip(looked) {
            let (digest, moments) = match look? {
                Look::Sound { digest, moments } => (digest, moments),
                Look::Damaged(why) => {
                    census.damage(&found.name, &why);
                    continue;
                }
            };
            let part = options.split.part(&digest, found.part, tested, validated);
            let example = Example {
                name: found.name.clone(),
                class: labels.partition_point(|label| *label < found.label),
                digest,
                content: found.content.clone(),
            };
            parts[part as usize].push((example, moments));
        }
        if census.damaged > options.damaged_limit {
            let files = census.damaged_files.join("\n  ");
            return Err(Error::data(format!(
                "{} of {} pictures are damaged, at most {} may be (--damaged-limit):\n  {files}",
                census.damaged,
                found.len(),
                options.damaged_limit
            )));
        }
        leave_leaks_out(&mut parts, &mut census);
        census.count(&labels, &parts);
        check(&labels, &census)?;

        let moments = Moments::sum(
            parts[Part::Train as usize]
                .iter()
                .map(|(_, moments)| moments),
        );
        let (mean, std) = moments.normalization(shape[1] * shape[2]);
        let parts = parts.map(|part| part.into_iter().map(|(example, _)| example).collect());
        let decoder = decoder.normalized(&mean, &std)?;
        Ok(Self {
            labels,
            parts,
            decoder,
            census,
        })
    }

    /// The pictures of a part.
    pub fn part(&self, part: Part) -> &[Example] {
        &self.parts[part as usize]
    }

    /// What a network for this data must take and give.
    pub fn shape(&self) -> Shape {
        Shape {
            picture: self.decoder.shape(),
            classes: self.labels.len(),
        }
    }
}

/// Refuses what teaches nothing.
fn check(labels: &[String], census: &Census) -> Result<()> {
    if let [only] = labels {
        return Err(Error::data(format!(
            "there is one class, \"{only}\": a classifier needs two"
        )));
    }
    for (label, counts) in &census.classes {
        for part in [Part::Train, Part::Test] {
            if counts[part as usize] == 0 {
                return Err(Error::data(format!(
                    "class \"{label}\" is empty: no picture of it is left to {}",
                    part.name()
                )));
            }
        }
    }
    Ok(())
}

/// What a first look at a picture gave.
enum Look {
    Sound { digest: Digest, moments: Moments },
    Damaged(String),
}

impl Look {
    /// Fails only if the store does.
    fn at(found: &Found, decoder: &Decoder) -> Result<Self> {
        let file = match decoder.bytes(&found.content) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::Store => return Err(error),
            Err(error) => return Ok(Self::Damaged(error.chain())),
        };
        let picture = match decoder.decode(&file) {
            Ok(picture) => picture,
            Err(error) => return Ok(Self::Damaged(error.chain())),
        };
        let digest = match found.content {
            Content::Held(_, digest) => digest,
            Content::Stored(_) => Digest::of(&file),
        };
        let moments = Moments::of(&picture, decoder.shape()[0]);
        Ok(Self::Sound { digest, moments })
    }
}

/// Sums that mean and deviation follow from: of each channel, its values and their squares.
#[derive(Debug, Clone, Default)]
struct Moments {
    pictures: usize,
    sums: Vec<[f64; 2]>,
}

impl Moments {
    fn of(picture: &[f32], channels: usize) -> Self {
        let sums = |channel: &[f32]| {
            channel.iter().fold([0.0, 0.0], |[sum, squares], &value| {
                let value = f64::from(value);
                [sum + value, squares + value * value]
            })
        };
        Self {
            pictures: 1,
            sums: picture.chunks(picture.len() / channels).map(sums).collect(),
        }
    }

    fn sum<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        all.fold(Self::default(), |mut total, one| {
            total.pictures += one.pictures;
            total.sums.resize(one.sums.len(), [0.0; 2]);
            for (total, one) in total.sums.iter_mut().zip(&one.sums) {
                total[0] += one[0];
                total[1] += one[1];
            }
            total
        })
    }

    /// Mean and deviation of each channel, to four digits: they are written into `model.toml`.
    fn normalization(&self, pixels: usize) -> (Vec<f64>, Vec<f64>) {
        let count = (self.pictures * pixels).max(1) as f64;
        let round = |value: f64| (value * 1e4).round() / 1e4;
        let mean_and_std = |&[sum, squares]: &[f64; 2]| {
            let mean = sum / count;
            let variance = (squares / count - mean * mean).max(0.0);
            // A channel of one value: nothing to divide by.
            let std = if variance < 1e-6 {
                1.0
            } else {
                variance.sqrt()
            };
            (round(mean), round(std))
        };
        self.sums.iter().map(mean_and_std).unzip()
    }
}

/// Every label once, sorted.
fn labels(found: &[Found]) -> Vec<String> {
    let mut labels: Vec<String> = found.iter().map(|found| found.label.clone()).collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

/// Channels, height and width, by what the first pictures are.
fn probe(source: &Source, found: &[Found], size: Option<[usize; 2]>) -> Result<[usize; 3]> {
    let step = (found.len() / PROBED).max(1);
    let mut seen: Option<([u32; 2], bool, bool)> = None;
    for found in found.iter().step_by(step).take(PROBED) {
        let file = match &found.content {
            Content::Held(file, _) => file.clone(),
            Content::Stored(key) => source.read(key)?,
        };
        let reader = image::ImageReader::new(std::io::Cursor::new(&file)).with_guessed_format();
        let Ok(Ok(decoder)) = reader.map(image::ImageReader::into_decoder) else {
            continue;
        };
        let (width, height) = decoder.dimensions();
        let grey = !decoder.color_type().has_color();
        let (first, same, all_grey) = seen.unwrap_or(([height, width], true, true));
        seen = Some((first, same && first == [height, width], all_grey && grey));
    }
    let Some((first, same, grey)) = seen else {
        return Err(Error::data("none of the first pictures can be read"));
    };
    let own = (same && first.iter().all(|&side| side <= SMALL_SIDE)).then_some(first);
    let [height, width] = size
        .or(own.map(|own| own.map(|side| side as usize)))
        .unwrap_or([USUAL_SIDE; 2]);
    if height.min(width) < Shape::MIN_SIDE {
        return Err(Error::usage(format!(
            "pictures of {height}×{width} are too small: no side may be shorter than {}; --size resizes them",
            Shape::MIN_SIDE
        )));
    }
    Ok([if grey { 1 } else { 3 }, height, width])
}

impl Census {
    fn count(&mut self, labels: &[String], parts: &[Vec<(Example, Moments)>; 3]) {
        let mut counts = vec![[0; 3]; labels.len()];
        let mut all = Vec::new();
        for part in Part::ALL {
            for (example, _) in &parts[part as usize] {
                counts[example.class][part as usize] += 1;
                all.extend_from_slice(example.digest.as_bytes());
                all.extend_from_slice(&(example.class as u32).to_le_bytes());
                all.push(part as u8);
            }
        }
        self.classes = labels.iter().cloned().zip(counts).collect();
        self.digest = Digest::of(&all).hex();
    }
}

/// Leaves out of each part what a later part holds, too: test before validation before training.
fn leave_leaks_out(parts: &mut [Vec<(Example, Moments)>; 3], census: &mut Census) {
    let mut known: HashMap<Digest, (Part, usize)> = HashMap::new();
    for part in Part::ALL.into_iter().rev() {
        parts[part as usize].retain(|(example, _)| match known.get(&example.digest) {
            None => {
                known.insert(example.digest, (part, example.class));
                true
            }
            Some(&(other, class)) => {
                census.contradictions += usize::from(class != example.class);
                let stays = other == part;
                census.copies += usize::from(stays);
                census.leaks += usize::from(!stays);
                stays
            }
        });
    }
}
