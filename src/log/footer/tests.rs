use super::*;
use crate::log::segment_header::Origin;

const OFFSET: u64 = 4096;

fn header() -> SegmentHeader {
    SegmentHeader {
        origin: Origin::Fresh,
        salt: 0x5eed_1234,
        store_id: [3; 16],
        segment_id: 7,
        base_sequence: 100,
        predecessor_sequence: 99,
        durable_sequence: 99,
        expired_until_ms: 0,
    }
}

fn footer() -> Footer {
    Footer {
        totals: Totals {
            records: 10,
            tombstones: 3,
            first_sequence: 100,
            last_sequence: 109,
        },
        offset: OFFSET,
        keys: 8,
        hints_at: Some(2048),
        nothing_expires: true,
        expired_until_ms: 0x0605_0403_0201,
        header: header().encode(),
    }
}

#[test]
fn a_footer_reads_back_as_written_and_brings_the_header_along() {
    let bytes = footer().encode(&header().context()).unwrap();
    assert_eq!(Footer::decode(&bytes, OFFSET), Some((footer(), header())));
}

#[test]
fn a_footer_lies_on_disk_byte_for_byte_as_documented() {
    let mut expected = vec![4, 0, 0xc7, 0x01, 0];
    for number in [10u64, 3, 100, 109, OFFSET, 8, 2048] {
        expected.extend(number.to_le_bytes());
    }
    expected.extend(header().encode());
    expected.extend([1, 1, 2, 3, 4, 5, 6]);
    expected.extend(b"FREYEND\x89");
    let mut hasher = crc32fast::Hasher::new_with_initial(0x5eed_1234 ^ (4096 / 16));
    hasher.update(&expected);
    let bytes = [&hasher.finalize().to_le_bytes()[..], &expected].concat();
    assert_eq!(
        footer().encode(&header().context()).unwrap().as_slice(),
        bytes
    );
    assert_eq!(bytes.len(), FOOTER_LEN);
    assert_eq!(FOOTER_LEN as u64 % record::ALIGNMENT, 0);
}

#[test]
fn every_flipped_bit_of_a_footer_is_noticed() {
    let intact = footer().encode(&header().context()).unwrap();
    for bit in 0..FOOTER_LEN * 8 {
        let mut bytes = intact;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Footer::decode(&bytes, OFFSET), None, "bit {bit}");
    }
}

#[test]
fn a_footer_at_another_place_is_refused() {
    let bytes = footer().encode(&header().context()).unwrap();
    for offset in [0, OFFSET - 16, OFFSET + 16, OFFSET * 2] {
        assert_eq!(Footer::decode(&bytes, offset), None);
    }
}

#[test]
fn totals_count_puts_and_tombstones_only() {
    let mut totals = Totals::default();
    totals.add(Kind::Mark, 4);
    assert_eq!(totals, Totals::default());
    totals.add(Kind::Tombstone, 5);
    totals.add(Kind::Put, 6);
    totals.add(Kind::Mark, 5);
    totals.add(Kind::Footer, 0);
    let expected = Totals {
        records: 2,
        tombstones: 1,
        first_sequence: 5,
        last_sequence: 6,
    };
    assert_eq!(totals, expected);
}
