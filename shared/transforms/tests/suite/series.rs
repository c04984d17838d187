//! Series: windows of tables in, forecasts out.

use bytes::Bytes;
use dunlin_protocol::{Datatype, NamedTensor, Tensor};
use dunlin_transforms::{Asked, ErrorKind, Files, Limits, Pipeline, Result, Spec};
use serde_json::json;

use super::metadata;

const WEEK: &str = "time,temp,wind,note\n\
    2026-11-01,10,1.5,calm\n\
    2026-11-02,20,-2.5,\n\
    2026-11-03,30,0,\"a, b\"\n";

fn pipeline(options: &str, shape: &[i64]) -> Result<Pipeline> {
    let spec: Spec = toml::from_str(&format!("[input]\nkind = 'series'\n{options}")).unwrap();
    let input = metadata("window", Datatype::Fp32, shape);
    Pipeline::new(&spec, &[input], &[], Files::default(), Limits::default())
}

fn read(pipeline: &Pipeline, body: &str, content_type: Option<&str>) -> Result<Vec<f32>> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let inputs = pipeline.decode(&body, content_type)?.inputs;
    assert_eq!(inputs[0].name, "window");
    Ok(inputs[0].tensor.to_vec().unwrap())
}

type Case<'a> = (&'a str, &'a [i64], &'a str, Option<&'a str>, &'a [f32]);

#[test]
fn the_last_rows_fill_the_window() {
    let csv = Some("text/csv");
    // Options, the input's shape, a body, its content type, the window.
    let cases: [Case<'_>; 10] = [
        ("columns = ['temp']", &[-1, 2, 1], WEEK, csv, &[20.0, 30.0]),
        ("", &[1, 2, 2], WEEK, None, &[20.0, -2.5, 30.0, 0.0]),
        (
            "columns = ['wind', 'temp']\nlength = 1",
            &[-1, -1, -1],
            WEEK,
            csv,
            &[0.0, 30.0],
        ),
        (
            "columns = ['temp']\nmean = 20\nstd = [5]",
            &[-1, 3, 1],
            WEEK,
            csv,
            &[-2.0, 0.0, 2.0],
        ),
        (
            "mean = [20, 0]\nstd = [10, 0.5]",
            &[-1, 2, 2],
            WEEK,
            csv,
            &[0.0, -5.0, 1.0, 0.0],
        ),
        ("", &[-1, 2, 1], "1\n2\n3\n", csv, &[2.0, 3.0]),
        (
            "columns = ['x']",
            &[-1, 2, 1],
            "\u{feff}x\r\n2\r\n 3e0 \r\n",
            csv,
            &[2.0, 3.0],
        ),
        (
            "",
            &[-1, 2, 1],
            r#"{"series": [1, 2, 3]}"#,
            None,
            &[2.0, 3.0],
        ),
        (
            "",
            &[-1, 2, 1],
            r#"{"series": [[1], [2.5]]}"#,
            Some("application/json"),
            &[1.0, 2.5],
        ),
        (
            "",
            &[-1, 1, 2],
            r#"{"series": [ [1, 2], [3, 4]]}"#,
            None,
            &[3.0, 4.0],
        ),
    ];
    for (options, shape, body, content_type, want) in cases {
        let got = read(&pipeline(options, shape).unwrap(), body, content_type).unwrap();
        assert_eq!(got, want, "{options} {body}");
    }
}

#[test]
fn tables_that_are_no_good_are_told_why() {
    let temp = pipeline("columns = ['temp']", &[-1, 3, 1]).unwrap();
    let any = pipeline("", &[-1, 2, 1]).unwrap();
    let gap = WEEK.replace("20,", ",");
    let word = WEEK.replace("20,", "warm,");
    let nan = WEEK.replace("20,", "NaN,");
    let rows = "1\n".repeat(100_001);
    let bytes = format!("{}1\n", " ".repeat(8 << 20));
    let json = |value: serde_json::Value| json!({"series": value}).to_string();
    let short = WEEK.rsplit_once("2026-11-03").unwrap().0;
    let (gap_json, nested, wide) = (
        json(json!([1, null])),
        json(json!([[[1]]])),
        json(json!([[1, 2], [3, 4]])),
    );
    let cases = [
        (
            &temp,
            short,
            "the series has 2 rows; the model looks at the last 3",
        ),
        (&temp, &gap, "row 2, column \"temp\": is empty; fill gaps"),
        (&temp, &word, "row 2, column \"temp\": is \"warm\""),
        (&temp, &nan, "is \"NaN\", which is no finite number"),
        (
            &temp,
            "a,b\n1,2\n1,2\n1,2",
            "no column \"temp\"; its first row names \"a\", \"b\"",
        ),
        (&temp, "temp\n1\n2,3\n4\n", "can't be read"),
        (
            &any,
            WEEK,
            "2 columns of numbers (\"temp\", \"wind\"); the model takes 1",
        ),
        (&any, "a\nx\ny\n", "0 columns of numbers"),
        (&any, "", "the table is empty"),
        (&any, &rows, "more than 100000 rows"),
        (&any, &bytes, "the limit is 8388608"),
        (&any, &gap_json, "row 2, column 1: null"),
        (&any, &nested, "`series` is a list of numbers"),
        (&any, &wide, "row 1 has 2 values; the model takes 1"),
        (&any, "{\"texts\": [1]}", "the body is not {\"series\""),
    ];
    for (pipeline, body, says) in cases {
        let error = read(pipeline, body, None).unwrap_err();
        assert!(error.to_string().contains(says), "{error}, not {says}");
    }
    let error = read(&any, "x", Some("image/png")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedMedia);
}

#[test]
fn contradictions_are_found_before_the_first_request() {
    let cases: [(&str, &[i64], &str); 7] = [
        ("", &[-1, -1, 1], "`length` is needed"),
        ("length = 3", &[-1, 3, -1], "`columns` is needed"),
        ("length = 4", &[-1, 3, 1], "`length` says 4"),
        ("columns = ['a', 'b']", &[-1, 3, 1], "`columns` says 2"),
        (
            "mean = [1, 2]\ncolumns = ['a']",
            &[-1, 3, 1],
            "`mean` has 2 values for 1 columns",
        ),
        ("std = 0", &[-1, 3, 1], "`std` divides"),
        ("", &[-1, 3], "[batch, length, columns]"),
    ];
    for (options, shape, says) in cases {
        let error = pipeline(options, shape).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSpec, "{error}");
        assert!(error.to_string().contains(says), "{error}, not {says}");
    }
}

#[test]
fn forecasts_are_in_the_units_of_the_series() {
    let cases: [(&str, &[i64], &[usize], serde_json::Value); 4] = [
        (
            "mean = 10\nstd = 2\nunit = '°F'\nstep = 'hour'",
            &[-1, 3],
            &[1, 3],
            json!({"forecast": [10.0, 12.0, 14.0], "unit": "°F", "step": "hour"}),
        ),
        (
            "",
            &[-1, -1, 1],
            &[1, 3, 1],
            json!({"forecast": [0.0, 1.0, 2.0]}),
        ),
        (
            "mean = [10, 0]\nstd = [2, 1]",
            &[-1, 2, 2],
            &[1, 2, 2],
            json!({"forecast": [[10.0, 1.0], [14.0, 3.0]]}),
        ),
        (
            "std = 2",
            &[-1, 1],
            &[2, 1],
            json!({"forecasts": [[0.0], [2.0]]}),
        ),
    ];
    for (options, declared, shape, want) in cases {
        let text = format!(
            "input = {{ kind = 'series', length = 1 }}\n[output]\nkind = 'forecast'\n{options}"
        );
        let spec: Spec = toml::from_str(&text).unwrap();
        let inputs = [metadata("window", Datatype::Fp32, &[-1, -1, 1])];
        let outputs = [metadata("next", Datatype::Fp32, declared)];
        let pipeline = Pipeline::new(
            &spec,
            &inputs,
            &outputs,
            Files::default(),
            Limits::default(),
        )
        .unwrap();
        let asked = pipeline
            .decode(&Bytes::from_static(b"1\n"), None)
            .unwrap()
            .asked;
        let values = (0..shape.iter().product())
            .map(|at: usize| at as f32)
            .collect();
        let next = NamedTensor::new("next", Tensor::from_vec(shape.to_vec(), values).unwrap());
        let answer = pipeline.encode(&asked, &[next]).unwrap();
        assert_eq!(serde_json::to_value(answer).unwrap(), want, "{options}");
        let broken = Tensor::from_vec(declared.iter().map(|_| 1).collect(), vec![f32::NAN]);
        if declared.iter().skip(1).all(|&size| size < 2) {
            let broken = [NamedTensor::new("next", broken.unwrap())];
            let error = pipeline.encode(&Asked::default(), &broken).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidOutput, "{error}");
        }
    }
}
