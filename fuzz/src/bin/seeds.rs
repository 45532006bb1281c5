//! Writes inputs to begin with, for every target, into a folder for each: valid records, segments and so on, which a fuzzer
//! would take long to find, and what fuzzers have found that reaches other code.

use std::path::Path;

use freyja::log::record::{Fields, Kind, encode_head, encoded_len};
use freyja_fuzz::stores::header;
use libfuzzer_sys as _; // what the instrumentation calls

/// A record as it is written at `offset` of the segment of `header(base)`.
fn record(
    kind: Kind,
    sequence: u64,
    continues: bool,
    key: &[u8],
    value: &[u8],
    offset: u64,
    base: u64,
) -> Vec<u8> {
    let fields = Fields {
        kind,
        continues,
        follows_durable: false,
        expires_at_ms: None,
        sequence,
        key,
        value,
    };
    let context = header(base).context();
    let mut bytes = encode_head(&fields, offset, &context)
        .unwrap()
        .as_bytes()
        .to_vec();
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(value);
    bytes.resize(encoded_len(&fields, base) as usize, 0);
    bytes
}

fn segment() -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 1..12 {
        let kind = [Kind::Put, Kind::Put, Kind::Tombstone, Kind::Mark][number as usize % 4];
        let (key, value) = (
            vec![number; number as usize],
            vec![number; number as usize * 9],
        );
        let sequence = u64::from(number - number / 4);
        let record = match kind {
            Kind::Mark => record(
                kind,
                sequence - 1,
                false,
                &[],
                &[],
                128 + bytes.len() as u64,
                1,
            ),
            Kind::Put => record(
                kind,
                sequence,
                number == 4,
                &key,
                &value,
                128 + bytes.len() as u64,
                1,
            ),
            _ => record(
                kind,
                sequence,
                false,
                &key,
                &[],
                128 + bytes.len() as u64,
                1,
            ),
        };
        bytes.extend(record);
    }
    bytes
}

/// What fuzzers have found: `make fuzz-keep` writes these texts.
const KEPT: [(&str, &str); 7] = [
    ("calls", include_str!("../../kept/calls.txt")),
    ("record", include_str!("../../kept/record.txt")),
    ("segment", include_str!("../../kept/segment.txt")),
    ("hints", include_str!("../../kept/hints.txt")),
    ("image", include_str!("../../kept/image.txt")),
    ("moves", include_str!("../../kept/moves.txt")),
    ("options", include_str!("../../kept/options.txt")),
];

/// The bytes that a line of hexadecimal digits stands for.
fn bytes(line: &str) -> Vec<u8> {
    let pairs = line.as_bytes().chunks(2);
    let pairs = pairs.map(|pair| str::from_utf8(pair).expect("digits"));
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits"))
        .collect()
}

fn write(folder: &Path, target: &str, name: &str, inputs: &[Vec<u8>]) {
    let folder = folder.join(target);
    std::fs::create_dir_all(&folder).unwrap();
    for (number, input) in inputs.iter().enumerate() {
        std::fs::write(folder.join(format!("{name}-{number}")), input).unwrap();
    }
}

fn main() {
    let folder = std::env::args_os()
        .nth(1)
        .expect("the folder for the inputs");
    let folder = Path::new(&folder);
    let seeds = |target, inputs: &[Vec<u8>]| write(folder, target, "seed", inputs);
    let prefix = [0x78, 0x56, 0x34, 0x12, 0, 8, 0];
    let put = record(Kind::Put, 3, false, b"key", b"value", 128, 1);
    let tombstone = record(Kind::Tombstone, 2, true, b"key", b"", 128, 1);
    seeds(
        "record",
        &[
            [&prefix[..], &put].concat(),
            [&prefix[..], &tombstone].concat(),
        ],
    );
    let whole = segment();
    seeds(
        "segment",
        &[
            [&[0][..], &whole].concat(),
            [&[12][..], &whole].concat(),
            vec![4; 60],
        ],
    );
    // Base sequence 1, records up to byte 1024, two of them, one a tombstone, numbers 1 and 2; hints for both.
    let numbers = [0, 128, 3, 2, 1, 0, 1, 0];
    let hints = [16, 0, 3, b'o', b'n', b'e', 9, 0, 0];
    seeds(
        "hints",
        &[[&numbers[..], &hints].concat(), numbers.to_vec()],
    );
    for target in ["image", "moves"] {
        seeds(
            target,
            &[
                vec![0],
                vec![1],
                vec![7, 0, 20, 0, 9],
                vec![5, 8, 10, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
            ],
        );
    }
    seeds("options", &[vec![0], vec![4, 0, 0], (0..80).collect()]);
    let calls: Vec<u8> = (0..200_u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    seeds(
        "calls",
        &[calls[..60].to_vec(), calls, vec![2; 90], vec![12; 80]],
    );
    for (target, text) in KEPT {
        let inputs: Vec<Vec<u8>> = text.lines().map(bytes).collect();
        write(folder, target, "kept", &inputs);
    }
}
