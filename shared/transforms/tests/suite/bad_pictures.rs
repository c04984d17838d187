//! Bodies that are no pictures, damaged ones, and ones built to exhaust memory.

use bytes::Bytes;
use dunlin_transforms::{Error, ErrorKind, Limits};

use super::{data, sample, small_pictures};

/// What a body is refused with.
fn refusal(body: impl Into<Bytes>, content_type: Option<&str>, limits: Limits) -> Error {
    let pipeline = small_pictures(limits);
    pipeline.decode(&body.into(), content_type).unwrap_err()
}

#[test]
fn what_is_no_picture_is_told_so() {
    struct Case {
        body: &'static [u8],
        content_type: Option<&'static str>,
        kind: ErrorKind,
        says: &'static [&'static str],
    }
    let case = |body, content_type, kind, says| Case {
        body,
        content_type,
        kind,
        says,
    };
    let media = ErrorKind::UnsupportedMedia;
    let cases = [
        case(b"", None, ErrorKind::InvalidInput, &["empty", "JPEG, PNG"]),
        case(
            b"hello",
            None,
            media,
            &["text", "JPEG, PNG, WebP, GIF, BMP"],
        ),
        case(b"hello", Some("image/png"), media, &["text"]),
        case(b"\x00\x01\x02\xff", None, media, &["JPEG, PNG"]),
        case(b"%PDF-1.7 ...", None, media, &["PDF"]),
        case(b"II*\0\x08\0\0\0", None, media, &["Tiff", "JPEG, PNG"]),
        case(b"\0\0\0\x18ftypheic", None, media, &["HEIC"]),
        case(
            b"--x\r\nContent-Disposition: form-data\r\n\r\n",
            Some("multipart/form-data; boundary=x"),
            media,
            &["form", "--data-binary"],
        ),
        case(
            b"\x89PNG\n\x1a\n",
            Some("application/x-www-form-urlencoded"),
            media,
            &["--data-binary"],
        ),
        case(
            b"{\"inputs\": 1}",
            Some("application/json"),
            ErrorKind::InvalidInput,
            &[],
        ),
    ];
    for case in cases {
        let error = refusal(case.body, case.content_type, Limits::default());
        assert_eq!(error.kind(), case.kind, "{:?}: {error}", case.body);
        for says in case.says {
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}

#[test]
fn a_picture_cut_short_is_refused_wherever_it_is_cut() {
    let mut accepted = Vec::new();
    for entry in std::fs::read_dir(data().join("samples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let whole = sample(&name);
        // Of an animation only the first frame counts, which is whole in the upper half of these.
        let percents: &[usize] = if name.starts_with("animated") {
            &[1, 10, 30]
        } else {
            &[1, 10, 30, 50, 70, 90]
        };
        for percent in percents {
            let cut = whole.slice(..whole.len() * percent / 100);
            let pipeline = small_pictures(Limits::default());
            match pipeline.decode(&cut, None) {
                Ok(_) => accepted.push(format!("{name} at {percent} %")),
                Err(error) => assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::InvalidInput | ErrorKind::UnsupportedMedia
                    ),
                    "{name} at {percent} %: {error}"
                ),
            }
        }
    }
    assert!(accepted.is_empty(), "{accepted:#?}");
}

#[test]
fn too_many_pixels_are_refused_from_the_header() {
    let side = 40_000_u32;
    for (name, patch) in [
        ("rgb.png", png_size as fn(&mut [u8], u32)),
        ("444.jpg", jpeg_size),
        ("palette.gif", gif_size),
        ("rgb.bmp", bmp_size),
    ] {
        let mut file = sample(name).to_vec();
        file.truncate(1024.max(file.len() / 2));
        patch(&mut file, side);
        let error = refusal(file, None, Limits::default());
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{name}: {error}");
        let message = error.to_string();
        assert!(message.contains("40000×40000"), "{name}: {message}");
        assert!(message.contains("50000000"), "{name}: {message}");
    }
}

#[test]
fn limits_bound_bytes_pixels_and_what_comes_of_a_resize() {
    let mut limits = Limits::default();
    limits.picture_bytes = 1000;
    let error = refusal(sample("rgb.png"), None, limits);
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("the limit is 1000"), "{error}");

    let mut limits = Limits::default();
    limits.pixels = 97 * 71 - 1;
    for name in ["rgb.png", "420.jpg", "lossy.webp", "palette.gif", "rgb.bmp"] {
        let error = refusal(sample(name), None, limits.clone());
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{name}");
        assert!(error.to_string().contains("97×71"), "{name}: {error}");
    }
}

#[test]
fn a_frame_larger_than_its_gif_is_refused() {
    let mut file = sample("palette.gif").to_vec();
    // The image descriptor: a comma, then left, top, width and height.
    let size = [97, 0, 71, 0];
    let at = file
        .windows(9)
        .position(|bytes| bytes[0] == b',' && bytes[5..9] == size)
        .unwrap();
    file[at + 5..at + 9].copy_from_slice(&[255; 4]);
    let error = refusal(file, None, Limits::default());
    assert!(
        matches!(error.kind(), ErrorKind::TooLarge | ErrorKind::InvalidInput),
        "{error}"
    );
}

#[test]
fn damaged_pictures_never_panic() {
    let pipeline = small_pictures(Limits::default());
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize
    };
    for entry in std::fs::read_dir(data().join("samples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let whole = sample(&name);
        for round in 0..24 {
            let mut file = whole.to_vec();
            // Most damage where the headers are.
            let reach = if round % 2 == 0 {
                200.min(file.len())
            } else {
                file.len()
            };
            for _ in 0..=round % 4 {
                file[next() % reach] = next() as u8;
            }
            // Some pass: a pixel has changed. The others are errors, not panics.
            let _ = pipeline.decode(&file.into(), None);
        }
    }
}

fn png_size(file: &mut [u8], side: u32) {
    file[16..20].copy_from_slice(&side.to_be_bytes());
    file[20..24].copy_from_slice(&side.to_be_bytes());
    let mut crc = u32::MAX;
    for &byte in &file[12..29] {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 * (crc & 1));
        }
    }
    file[29..33].copy_from_slice(&(!crc).to_be_bytes());
}

fn jpeg_size(file: &mut [u8], side: u32) {
    let frame = file
        .windows(2)
        .position(|pair| pair == [0xFF, 0xC0])
        .unwrap();
    for at in [frame + 5, frame + 7] {
        file[at..at + 2].copy_from_slice(&(side as u16).to_be_bytes());
    }
}

fn gif_size(file: &mut [u8], side: u32) {
    for at in [6, 8] {
        file[at..at + 2].copy_from_slice(&(side as u16).to_le_bytes());
    }
}

fn bmp_size(file: &mut [u8], side: u32) {
    for at in [18, 22] {
        file[at..at + 4].copy_from_slice(&side.to_le_bytes());
    }
}
