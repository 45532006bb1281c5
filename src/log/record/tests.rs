use super::*;
use crate::log::test_random::Random;

const CONTEXT: SegmentContext = SegmentContext {
    salt: 0x5eed_1234,
    base_sequence: 1000,
};

fn encode(fields: &Fields<'_>, offset: u64, context: &SegmentContext) -> Vec<u8> {
    let head = encode_head(fields, offset, context).unwrap();
    let mut bytes = [head.as_bytes(), fields.key, fields.value].concat();
    bytes.resize(padded(bytes.len() as u64) as usize, 0);
    assert_eq!(
        bytes.len() as u64,
        encoded_len(fields, context.base_sequence)
    );
    assert!(bytes.len() as u64 <= most_encoded(fields));
    let record = prepare(fields, context).unwrap();
    // Whatever was there before.
    let mut in_place = vec![0xee; record.encoded_len()];
    record.write(offset, &mut in_place);
    assert_eq!(in_place, bytes);
    bytes
}

/// What a reader makes of bytes: the head, if it decodes and the checksum matches.
fn read(bytes: &[u8], offset: u64, context: &SegmentContext) -> std::result::Result<Head, Invalid> {
    let head = decode_head(bytes, bytes.len() as u64, context)?;
    if !checksum_matches(&bytes[..head.unpadded_len()], context.salt, offset) {
        return Err(Invalid::Checksum);
    }
    Ok(head)
}

fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Fields<'a> {
    Fields {
        kind: Kind::Put,
        continues: false,
        follows_durable: false,
        expires_at_ms: None,
        sequence: 1000,
        key,
        value,
    }
}

fn random_fields<'a>(random: &mut Random, key: &'a [u8], value: &'a [u8]) -> Fields<'a> {
    let kind = [Kind::Put, Kind::Tombstone, Kind::Mark][random.below(3) as usize];
    let shift = random.below(60);
    let distance = random.next() >> (4 + shift);
    Fields {
        kind,
        continues: kind != Kind::Mark && random.below(2) == 0,
        follows_durable: kind != Kind::Mark && random.below(2) == 0,
        expires_at_ms: (kind == Kind::Put && random.below(2) == 0).then(|| random.next()),
        sequence: if kind == Kind::Mark {
            distance
        } else {
            1000 + distance
        },
        key: if kind == Kind::Mark { &[] } else { key },
        value: if kind == Kind::Put { value } else { &[] },
    }
}

#[test]
fn the_short_way_to_read_a_head_finds_what_the_long_one_finds_or_nothing() {
    let mut random = Random::new(17);
    let mut usual = 0;
    for round in 0..200_000_u64 {
        let mut bytes = random.bytes(40);
        // What most records have, more or less.
        bytes[4] = [1, 0x21, 0x41, 0x61, 0x81, 0x11, 2, bytes[4]][random.below(8) as usize];
        bytes[5] &= [0x7f, 0xff][random.below(2) as usize];
        bytes[6] &= [0x1f, 0xff][random.below(2) as usize];
        if round % 2 == 0 {
            bytes[8] &= 0x7f;
        }
        bytes.truncate(random.below(41) as usize);
        let available = bytes.len() as u64 + random.below(3) * 100;
        let base_sequence = [1, 1000, MAX_SEQUENCE - 10][random.below(3) as usize];
        let context = SegmentContext {
            salt: 1,
            base_sequence,
        };
        let any = decode_any_head(&bytes, available, &context);
        if let Some(head) = decode_usual_head(&bytes, available, &context) {
            assert_eq!(Ok(head), any, "{bytes:x?}");
            usual += 1;
        }
        assert_eq!(decode_head(&bytes, available, &context), any);
    }
    assert!(usual > 1000, "{usual}");
}

#[test]
fn every_record_reads_back_as_written() {
    let mut random = Random::new(1);
    for round in 0..4000 {
        let key_len = random.below(if round % 100 == 0 { 65_537 } else { 300 }) as usize;
        let value_len = random.below(if round % 100 == 1 { 300_000 } else { 300 }) as usize;
        let (key, value) = (random.bytes(key_len), random.bytes(value_len));
        let fields = random_fields(&mut random, &key, &value);
        let offset = random.below(1 << 40) * ALIGNMENT;
        let bytes = encode(&fields, offset, &CONTEXT);
        let head = read(&bytes, offset, &CONTEXT).unwrap();
        assert_eq!(head.kind, fields.kind);
        assert_eq!(head.continues, fields.continues);
        assert_eq!(head.follows_durable, fields.follows_durable);
        assert_eq!(head.expires_at_ms, fields.expires_at_ms);
        assert_eq!(head.sequence, fields.sequence);
        assert_eq!(head.total_len, bytes.len() as u64);
        let key_end = head.head_len + head.key_len;
        assert_eq!(&bytes[head.head_len..key_end], fields.key);
        assert_eq!(&bytes[key_end..key_end + head.value_len], fields.value);
    }
}

#[test]
fn the_longest_key_and_the_greatest_numbers_fit_into_the_longest_head() {
    let key = vec![1; MAX_KEY_LEN];
    let context = SegmentContext {
        salt: 0,
        base_sequence: 0,
    };
    let fields = Fields {
        expires_at_ms: Some(u64::MAX),
        sequence: MAX_SEQUENCE,
        ..put(&key, b"")
    };
    assert!(
        encode_head(&fields, 128, &context)
            .unwrap()
            .as_bytes()
            .len()
            <= MAX_HEAD_LEN
    );
    read(&encode(&fields, 128, &context), 128, &context).unwrap();
    let mark = Fields {
        kind: Kind::Mark,
        expires_at_ms: None,
        key: b"",
        ..fields
    };
    assert_eq!(encoded_len(&mark, 0), MARK_LEN);
}

#[test]
fn a_pair_of_116_bytes_takes_128_bytes_on_disk() {
    assert_eq!(encode(&put(&[7; 16], &[8; 100]), 128, &CONTEXT).len(), 128);
}

#[test]
fn keys_and_values_beyond_their_limits_are_refused() {
    let long_key = vec![0; MAX_KEY_LEN + 1];
    let error = encode_head(&put(&long_key, b""), 128, &CONTEXT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    if usize::BITS > 32 {
        // Untouched zeroed memory: costs address space only.
        let long_value = vec![0; MAX_VALUE_LEN + 1];
        let error = encode_head(&put(b"", &long_value), 128, &CONTEXT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }
}

#[test]
fn fields_that_no_record_can_have_are_refused() {
    let impossible = [
        Fields {
            sequence: 999,
            ..put(b"k", b"v")
        },
        Fields {
            sequence: MAX_SEQUENCE + 1,
            ..put(b"k", b"v")
        },
        Fields {
            kind: Kind::Tombstone,
            ..put(b"k", b"v")
        },
        Fields {
            kind: Kind::Tombstone,
            expires_at_ms: Some(1),
            ..put(b"k", b"")
        },
        Fields {
            kind: Kind::Mark,
            ..put(b"k", b"")
        },
        Fields {
            kind: Kind::Mark,
            ..put(b"", b"v")
        },
        Fields {
            kind: Kind::Mark,
            continues: true,
            ..put(b"", b"")
        },
        Fields {
            kind: Kind::Footer,
            ..put(b"", b"short")
        },
        Fields {
            kind: Kind::Footer,
            sequence: 1001,
            ..put(b"", &[0; footer::VALUE_LEN])
        },
    ];
    for fields in impossible {
        let error = encode_head(&fields, 128, &CONTEXT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{fields:?}");
    }
}

#[test]
fn zeros_never_parse() {
    for len in 0..200 {
        assert!(decode_head(&vec![0; len], len as u64, &CONTEXT).is_err());
        assert!(decode_head(&vec![0; len], u64::MAX, &CONTEXT).is_err());
    }
}

#[test]
fn a_record_cut_short_anywhere_is_refused() {
    let expiring = Fields {
        expires_at_ms: Some(5),
        ..put(b"key", b"value")
    };
    for fields in [put(b"key", b"value"), put(b"", b""), expiring] {
        let bytes = encode(&fields, 128, &CONTEXT);
        let needed = read(&bytes, 128, &CONTEXT).unwrap().unpadded_len();
        for cut in 0..bytes.len() {
            assert_eq!(
                read(&bytes[..cut], 128, &CONTEXT).is_ok(),
                cut >= needed,
                "cut to {cut}"
            );
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed_unless_it_is_padding() {
    let long = vec![9; 200];
    for fields in [
        put(b"key", b"value"),
        put(b"", b""),
        put(b"key", &long),
        Fields {
            expires_at_ms: Some(77),
            continues: true,
            ..put(b"key", b"value")
        },
        Fields {
            kind: Kind::Tombstone,
            ..put(b"key", b"")
        },
        Fields {
            kind: Kind::Mark,
            sequence: 3,
            ..put(b"", b"")
        },
    ] {
        let intact = encode(&fields, 4096, &CONTEXT);
        let checked = read(&intact, 4096, &CONTEXT).unwrap().unpadded_len();
        for bit in 0..intact.len() * 8 {
            let mut bytes = intact.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // Bytes may follow in the segment, so that a longer length is not refused for want of space.
            bytes.resize(bytes.len() + 70_000, 0);
            let noticed = read(&bytes, 4096, &CONTEXT).is_err();
            assert_eq!(noticed, bit / 8 < checked, "bit {bit} of {fields:?}");
        }
    }
}

#[test]
fn bytes_from_another_place_segment_or_time_are_refused() {
    let bytes = encode(&put(b"key", b"value"), 4096, &CONTEXT);
    assert!(read(&bytes, 4096, &CONTEXT).is_ok());
    for offset in [0, 128, 4096 - 16, 4096 + 16, 4096 << 1, 4096 << 20] {
        assert_eq!(
            read(&bytes, offset, &CONTEXT),
            Err(Invalid::Checksum),
            "offset {offset}"
        );
    }
    let mut random = Random::new(2);
    for _ in 0..1000 {
        let salt = random.next() as u32;
        let other = SegmentContext { salt, ..CONTEXT };
        assert_eq!(
            read(&bytes, 4096, &other),
            Err(Invalid::Checksum),
            "salt {salt}"
        );
    }
}

#[test]
fn absurd_lengths_neither_overflow_nor_pass() {
    let lengths = [
        0xffff_fff0u64,
        0xffff_ffff,
        1 << 31,
        65_537,
        1 << 32,
        u64::MAX - 15,
        u64::MAX,
        i64::MAX as u64,
    ];
    for key_len in lengths.into_iter().chain([0, 1, 65_536]) {
        for value_len in lengths.into_iter().chain([0, 1, (1 << 31) - 1]) {
            for kind in 0..=255 {
                let mut bytes = vec![0; 64];
                bytes[4] = kind;
                let mut end = 5;
                varint::write(&mut bytes, &mut end, key_len);
                varint::write(&mut bytes, &mut end, value_len);
                let decoded = decode_head(&bytes, 64, &CONTEXT);
                if let Ok(head) = decoded {
                    assert!(head.unpadded_len() <= 64);
                    assert_eq!(
                        (head.key_len as u64, head.value_len as u64),
                        (key_len, value_len)
                    );
                }
                assert!(decoded.is_err() || key_len + value_len <= 2);
                let _ = decode_head(&bytes, u64::MAX, &CONTEXT);
            }
        }
    }
}

#[test]
fn sequence_numbers_beyond_the_limit_are_refused() {
    for (base_sequence, stored) in [
        (MAX_SEQUENCE, 1),
        (1, u64::MAX),
        (0, MAX_SEQUENCE + 1),
        (u64::MAX, 0),
    ] {
        let mut bytes = vec![0; 32];
        bytes[4] = 1;
        let mut end = 7;
        varint::write(&mut bytes, &mut end, stored);
        let context = SegmentContext {
            salt: 0,
            base_sequence,
        };
        assert_eq!(decode_head(&bytes, 32, &context), Err(Invalid::Number));
    }
}

#[test]
fn unknown_kinds_and_flags_are_refused() {
    let accepted: Vec<u8> = (0..=255u8)
        .filter(|&kind| {
            let mut bytes = [0; 32];
            bytes[4] = kind;
            decode_head(&bytes, 32, &CONTEXT).is_ok()
        })
        .collect();
    assert_eq!(
        accepted,
        [
            0x01, 0x02, 0x03, 0x05, 0x06, 0x11, 0x21, 0x22, 0x31, 0x41, 0x42, 0x51, 0x61, 0x62,
            0x71
        ]
    );
}

#[test]
fn random_bytes_are_refused_without_harm() {
    let mut random = Random::new(3);
    for _ in 0..200_000 {
        let len = random.below(64) as usize;
        let bytes = random.bytes(len);
        if let Ok(head) = decode_head(&bytes, len as u64, &CONTEXT) {
            assert!(head.unpadded_len() <= len);
        }
        assert!(read(&bytes, 128, &CONTEXT).is_err());
    }
}
