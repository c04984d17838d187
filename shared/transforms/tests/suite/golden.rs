//! Every case of `data/cases.json` against what Pillow and numpy made of it (`data/make.py`).
//!
//! How far a value may be from Pillow's, in steps of 255:
//!
//! - 0 where no decoder and no fast path comes between: nearest, and whatever is not shrunk to
//!   half or less.
//! - 1 where the fast path shrinks, and for lossy WebP.
//! - 2 for JPEG with full chroma: an inverse DCT may round to either side, and chroma counts up
//!   to 1.8 times in a colour.
//! - 3 for JPEG with halved chroma: the decoders (zune-jpeg, Pillow's libjpeg-turbo) also round
//!   otherwise when they bring it back to full size.
//!
//! A decoder's rounding shows in few values: on average the difference is far below one.

use dunlin_protocol::{Datatype, Tensor};
use dunlin_transforms::{
    Color, Files, Fit, ImageSpec, InputSpec, Layout, Limits, Pipeline, Resample, Size, Spec,
};
use half::f16;
use serde::Deserialize;

use super::{data, metadata, sample};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Case {
    file: String,
    input: InputSpec,
    datatype: Datatype,
    shape: Vec<usize>,
    at: usize,
}

impl Case {
    fn image(&self) -> &ImageSpec {
        match &self.input {
            InputSpec::Image(spec) => spec,
            other => panic!("{other:?} is no picture"),
        }
    }

    fn run(&self) -> Tensor {
        let shape = match self.image().layout {
            Some(Layout::Nhwc) => [-1, -1, -1, self.shape[3] as i64],
            _ => [-1, self.shape[1] as i64, -1, -1],
        };
        let input = metadata("pixels", self.datatype, &shape);
        let spec = Spec {
            input: Some(self.input.clone()),
            output: None,
        };
        let pipeline =
            Pipeline::new(&spec, &[input], &[], Files::default(), Limits::default()).unwrap();
        let mut inputs = pipeline.decode(&sample(&self.file), None).unwrap().inputs;
        inputs.remove(0).tensor
    }

    /// The steps of 255 that are allowed at most, and on average.
    fn tolerance(&self) -> (f64, f64) {
        let grey = self.image().color == Some(Color::Grey);
        let jpeg = self.file.contains(".jpg");
        match self.file.as_str() {
            "420.jpg" | "422.jpg" => (3.0, 0.4),
            "grey.jpg" | "cmyk.jpg" | "lossy.webp" => (1.0, 0.05),
            _ if jpeg && grey => (1.0, 0.05),
            _ if jpeg => (2.0, 0.05),
            _ if self.is_exact() => (0.0, 0.0),
            _ => (1.0, 0.1),
        }
    }

    fn is_exact(&self) -> bool {
        let Some(Size::Exact([height, width])) = self.image().size else {
            return false;
        };
        let (columns, rows): (u32, u32) = match self.file.as_str() {
            "tiny.png" => (13, 9),
            name if name.starts_with("orientation") => (24, 16),
            _ => (97, 71),
        };
        let halves = columns >= 2 * width && rows >= 2 * height;
        let fit = self.image().fit.unwrap_or_default();
        self.image().resample == Some(Resample::Nearest) || (!halves && fit == Fit::Stretch)
    }

    /// A tensor's values in steps of 255.
    fn steps(&self, data: &[u8]) -> Vec<f64> {
        let floats: Vec<f64> = match self.datatype {
            Datatype::Uint8 => return data.iter().map(|&byte| byte.into()).collect(),
            Datatype::Fp16 => values(data, |bytes| f16::from_le_bytes(bytes).to_f64()),
            Datatype::Fp32 => values(data, |bytes| f32::from_le_bytes(bytes).into()),
            _ => values(data, f64::from_le_bytes),
        };
        // The largest step of any channel, so that no difference looks smaller than it is.
        let std = match &self.image().std {
            Some(dunlin_transforms::PerChannel::Each(std)) => {
                std.iter().copied().fold(0.0, f64::max)
            }
            Some(dunlin_transforms::PerChannel::All(std)) => *std,
            None => 1.0,
        };
        let step = self.image().scale.unwrap_or(1.0 / 255.0) / std;
        floats.into_iter().map(|value| value / step).collect()
    }
}

fn values<const N: usize>(data: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    data.as_chunks::<N>()
        .0
        .iter()
        .map(|&bytes| read(bytes))
        .collect()
}

#[test]
fn pictures_become_the_tensors_that_pillow_and_numpy_make() {
    let golden = std::fs::read_to_string(data().join("cases.json")).unwrap();
    let golden: Golden = serde_json::from_str(&golden).unwrap();
    let expected = std::fs::read(data().join("expected.png")).unwrap();
    let expected = image::load_from_memory(&expected).unwrap();
    let expected = expected.into_luma8().into_raw();
    let mut failures = Vec::new();
    for case in &golden.cases {
        let tensor = case.run();
        assert_eq!(tensor.shape(), case.shape, "{case:?}");
        let want = case.steps(&expected[case.at..][..tensor.data().len()]);
        let got = case.steps(tensor.data());
        let differences = got.iter().zip(&want).map(|(got, want)| (got - want).abs());
        let most = differences.clone().fold(0.0, f64::max);
        let average = differences.sum::<f64>() / got.len() as f64;
        let (most_allowed, average_allowed) = case.tolerance();
        // Half precision and other orders of the same sums.
        let noise = match case.datatype {
            Datatype::Uint8 => 0.0,
            Datatype::Fp16 => 0.2,
            _ => 1e-3,
        };
        // Steps of a channel with a smaller std are larger.
        let most_allowed = most_allowed * 1.03 + noise;
        if most > most_allowed || average > average_allowed + noise {
            failures.push(format!(
                "most {most:.3}, on average {average:.4}: {} {:?}",
                case.file, case.input
            ));
        }
    }
    assert!(golden.cases.len() > 700);
    assert!(
        failures.is_empty(),
        "{}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn bgr_is_rgb_backwards() {
    for name in ["rgb.png", "420.jpg", "grey.png"] {
        let run = |color: &str, layout: &str| {
            let options = format!("kind = 'image'\ncolor = '{color}'\nlayout = '{layout}'");
            let spec: Spec = toml::from_str(&format!("[input]\n{options}\nsize = [9, 9]")).unwrap();
            let input = metadata("pixels", Datatype::Uint8, &[-1, -1, -1, -1]);
            let pipeline =
                Pipeline::new(&spec, &[input], &[], Files::default(), Limits::default()).unwrap();
            let mut inputs = pipeline.decode(&sample(name), None).unwrap().inputs;
            inputs.remove(0).tensor.to_vec::<u8>().unwrap()
        };
        let (rgb, bgr) = (run("rgb", "nchw"), run("bgr", "nchw"));
        let backwards: Vec<u8> = rgb.chunks(81).rev().flatten().copied().collect();
        assert_eq!(bgr, backwards, "{name}");
        let nhwc = run("rgb", "nhwc");
        let planes = (0..3).flat_map(|channel| nhwc.iter().skip(channel).step_by(3).copied());
        assert_eq!(rgb, planes.collect::<Vec<u8>>(), "{name}");
    }
}
