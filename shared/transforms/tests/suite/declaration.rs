//! What a declaration may say, and how a wrong one is told.

use dunlin_protocol::Datatype;
use dunlin_transforms::{ErrorKind, Files, Limits, Pipeline, Spec};

use super::{metadata, sample};

#[test]
fn a_spec_survives_json_and_says_no_more_than_was_written() {
    let text = "
        [input]
        kind = 'image'
        size = [28, 28]
        color = 'grey'
        mean = 0.5
        std = [0.25]
        [output]
        kind = 'classification'
        activation = 'softmax'
    ";
    let spec: Spec = toml::from_str(text).unwrap();
    let json = serde_json::to_string(&spec).unwrap();
    assert_eq!(
        json,
        r#"{"input":{"kind":"image","size":[28,28],"color":"grey","mean":0.5,"std":[0.25]},"#
            .to_owned()
            + r#""output":{"kind":"classification","activation":"softmax"}}"#
    );
    assert_eq!(serde_json::from_str::<Spec>(&json).unwrap(), spec);
}

#[test]
fn what_cannot_be_read_is_named() {
    let cases = [
        (
            "[input]\nkind = 'image'\nsiez = [1, 1]",
            "unknown field `siez`",
        ),
        (
            "[input]\nkind = 'picture'",
            "`tensor`, `image`, `text`, `series`",
        ),
        (
            "[input]\nkind = 'tensor'\nsize = [1, 1]",
            "unknown field `size`",
        ),
        ("[input]\nkind = 'image'\nsize = '28x28'", "[height, width]"),
        (
            "[input]\nkind = 'image'\nmean = 'zero'",
            "one number a channel",
        ),
        ("[input]\nkind = 'image'\nresample = 'area'", "`nearest`"),
        ("[input]\nsize = [1, 1]", "missing field `kind`"),
        ("[output]\nkind = 'classification'\ntopk = 3", "`top_k`"),
        ("[inputs]\nkind = 'image'", "unknown field `inputs`"),
    ];
    for (text, says) in cases {
        let error = toml::from_str::<Spec>(text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn contradictions_are_found_before_the_first_request() {
    let fp32 = Datatype::Fp32;
    let rgb = metadata("pixels", fp32, &[-1, 3, 224, 224]);
    let any = metadata("pixels", fp32, &[-1, 3, -1, -1]);
    let grey = metadata("pixels", fp32, &[-1, 1, 28, 28]);
    let batch = metadata("pixels", fp32, &[8, 3, 224, 224]);
    let flat = metadata("pixels", fp32, &[-1, 784]);
    let bytes = metadata("pixels", Datatype::Uint8, &[-1, 3, 224, 224]);
    let words = metadata("pixels", Datatype::Int64, &[-1, 3, 224, 224]);
    let cases = [
        (&any, "", "`size = [height, width]` is needed"),
        (&rgb, "size = [28, 28]", "28×28"),
        (&rgb, "size = [256, 256]\ncrop = [225, 224]", "225×224"),
        (&rgb, "crop = [225, 224]", "larger than size"),
        (&rgb, "size = 224", "`crop = [height, width]` is needed"),
        (
            &rgb,
            "size = 256\ncrop = [224, 224]\nfit = 'cover'",
            "`fit`",
        ),
        (&any, "size = [0, 10]", "at least 1"),
        (&any, "size = [100000, 100000]", "the limit is"),
        (&rgb, "color = 'grey'", "Grey has 1 channels"),
        (&grey, "color = 'rgb'", "Rgb has 3 channels"),
        (&rgb, "mean = [0.5]", "`mean` has 1 values for 3 channels"),
        (&rgb, "std = 0", "`std` divides"),
        (&rgb, "std = [1.0, nan, 1.0]", "not finite"),
        (&rgb, "scale = 0.0", "`scale`"),
        (&rgb, "pad = 114", "`pad` is for fit"),
        (&rgb, "tensor = 'image'", "it has \"pixels\""),
        (&batch, "", "batches of 8"),
        (&flat, "", "needs 4 dimensions"),
        (
            &bytes,
            "scale = 1.0",
            "UINT8 input takes pixels as they are",
        ),
        (&words, "", "the model's is INT64"),
    ];
    for (input, options, says) in cases {
        let spec: Spec = toml::from_str(&format!("[input]\nkind = 'image'\n{options}")).unwrap();
        let inputs = [input.clone()];
        let error =
            Pipeline::new(&spec, &inputs, &[], Files::default(), Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSpec, "{options}: {error}");
        assert!(error.to_string().contains(says), "{options}: {error}");
    }

    let spec: Spec = toml::from_str("[input]\nkind = 'image'").unwrap();
    let two = [rgb.clone(), metadata("mask", fp32, &[-1, 1, 224, 224])];
    let error = Pipeline::new(&spec, &two, &[], Files::default(), Limits::default()).unwrap_err();
    assert!(
        error.to_string().contains("\"pixels\", \"mask\""),
        "{error}"
    );
}

#[test]
fn an_output_that_holds_no_classes_is_refused() {
    let logits = metadata("logits", Datatype::Fp32, &[-1, 10]);
    let maps = metadata("maps", Datatype::Fp32, &[-1, 10, 7, 7]);
    let text = metadata("text", Datatype::Bytes, &[-1, 10]);
    let cases = [
        (&logits, "top_k = 0", 0, "`top_k` is at least 1"),
        (
            &logits,
            "activation = 'softmax'\nthreshold = 50",
            0,
            "scores are 0 to 1",
        ),
        (&logits, "tensor = 'scores'", 0, "it has \"logits\""),
        (&logits, "", 3, "10 classes, and there are 3 labels"),
        (&maps, "", 0, "one score a class"),
        (&text, "", 0, "one score a class"),
    ];
    for (output, options, labels, says) in cases {
        let spec = format!("[output]\nkind = 'classification'\n{options}");
        let spec: Spec = toml::from_str(&spec).unwrap();
        let labels = vec!["label".to_owned(); labels];
        let outputs = [output.clone()];
        let files = Files {
            labels,
            tokenizer: None,
        };
        let error = Pipeline::new(&spec, &[], &outputs, files, Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSpec, "{options}: {error}");
        assert!(error.to_string().contains(says), "{options}: {error}");
    }
}

#[test]
fn what_is_not_declared_follows_the_model() {
    let cases: [(&[i64], &[usize]); 6] = [
        (&[-1, 3, 20, 10], &[1, 3, 20, 10]),
        (&[1, 1, 20, 10], &[1, 1, 20, 10]),
        (&[-1, 20, 10, 3], &[1, 20, 10, 3]),
        (&[-1, 20, 10, 1], &[1, 20, 10, 1]),
        (&[3, 20, 10], &[3, 20, 10]),
        (&[20, 10, 3], &[20, 10, 3]),
    ];
    for (shape, want) in cases {
        let spec: Spec = toml::from_str("[input]\nkind = 'image'").unwrap();
        let input = metadata("pixels", Datatype::Fp32, shape);
        let pipeline =
            Pipeline::new(&spec, &[input], &[], Files::default(), Limits::default()).unwrap();
        let inputs = pipeline
            .decode(&sample("rgb.png"), Some("image/png"))
            .unwrap()
            .inputs;
        assert_eq!(inputs[0].name, "pixels");
        assert_eq!(inputs[0].tensor.shape(), want, "{shape:?}");
    }
}
