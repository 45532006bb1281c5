//! Bytes as a record: what decodes fits into the bytes, and encodes to the same bytes again.
#![no_main]

use freyja::log::record::{self, Fields, MAX_SEQUENCE, SegmentContext};
use freyja::log::varint;
use freyja_fuzz::input::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let context = SegmentContext {
        salt: input.u32(),
        base_sequence: match input.byte() {
            0 => 1,
            1 => MAX_SEQUENCE,
            _ => 1 + input.u64() % MAX_SEQUENCE,
        },
    };
    let offset = u64::from(input.u16()) * 16;
    let bytes = input.0;
    let mut position = 0;
    if let Some(number) = varint::read(bytes, &mut position) {
        let mut again = [0; varint::MAX_LEN];
        let mut end = 0;
        varint::write(&mut again, &mut end, number);
        assert_eq!(
            again[..end],
            bytes[..position],
            "only the shortest form is valid"
        );
    }
    let Ok(head) = record::decode_head(bytes, bytes.len() as u64, &context) else {
        return;
    };
    assert!(head.unpadded_len() <= bytes.len());
    assert!(head.total_len % 16 == 0 && head.total_len < head.unpadded_len() as u64 + 16);
    let record = &bytes[..head.unpadded_len()];
    let (key, value) = record[head.head_len..].split_at(head.key_len);
    let fields = Fields {
        kind: head.kind,
        continues: head.continues,
        follows_durable: head.follows_durable,
        expires_at_ms: head.expires_at_ms,
        sequence: head.sequence,
        key,
        value,
    };
    assert_eq!(
        record::encoded_len(&fields, context.base_sequence),
        head.total_len
    );
    let encoded = record::encode_head(&fields, offset, &context).expect("it was decoded");
    let encoded = encoded.as_bytes();
    assert_eq!(encoded[4..], record[4..head.head_len]);
    let matches = record::checksum_matches(record, context.salt, offset);
    assert_eq!(matches, encoded[..4] == record[..4]);
});
