use super::*;
use crate::log::record::MAX_KEY_LEN;

fn put<'b>(key: &'b [u8], value: &'b [u8]) -> Operation<'b> {
    Operation {
        key,
        value: Some(value),
        expires_at_ms: None,
    }
}

fn deletion(key: &[u8]) -> Operation<'_> {
    Operation {
        key,
        value: None,
        expires_at_ms: None,
    }
}

fn failure(packed: &[u8]) -> (ErrorKind, String) {
    let error = PackedOperations::parse(packed).unwrap_err();
    (error.kind(), error.message().to_owned())
}

fn some_packing() -> Packing {
    let mut packing = Packing::default();
    let expiring = Operation {
        expires_at_ms: Some(7),
        ..put(b"later", b"gone")
    };
    let long = [9; 300];
    for operation in [
        put(b"", b""),
        deletion(b""),
        expiring,
        put(&long, b"value"),
        deletion(b"later"),
        put(b"key", &long),
    ] {
        packing.add(&operation).unwrap();
    }
    packing
}

#[test]
fn what_was_packed_is_found_again_with_the_same_count() {
    let packing = some_packing();
    let kept = packing.operations();
    let parsed = PackedOperations::parse(&packing.packed).unwrap();
    assert_eq!(parsed.len(), 6);
    assert_eq!(parsed.counted_bytes(), kept.counted_bytes());
    assert!(parsed.iter().eq(kept.iter()));
    assert_eq!(parsed.iter().nth(2).unwrap().expires_at_ms, Some(7));
    assert!(PackedOperations::parse(&[]).unwrap().is_empty());
}

#[test]
fn an_end_within_an_operation_is_refused_with_its_place() {
    let packing = some_packing();
    let mut ends = vec![0];
    for operation in packing.operations().iter() {
        let expiry = usize::from(operation.expires_at_ms.is_some()) * EXPIRY;
        let length = HEAD + expiry + operation.key.len() + operation.value.map_or(0, <[u8]>::len);
        ends.push(ends.last().unwrap() + length);
    }
    for length in 0..packing.packed.len() {
        let cut = &packing.packed[..length];
        match ends.binary_search(&length) {
            Ok(count) => assert_eq!(PackedOperations::parse(cut).unwrap().len(), count),
            Err(place) => {
                let (kind, message) = failure(cut);
                assert_eq!(kind, ErrorKind::Invalid);
                let begin = format!("the operation at byte {} of {length}:", ends[place - 1]);
                assert!(message.starts_with(&begin), "{message}");
            }
        }
    }
}

#[test]
fn a_deletion_with_a_value_or_an_expiry_is_refused() {
    let head = |key_len: u32, value_len: u32| [key_len.to_le_bytes(), value_len.to_le_bytes()];
    let with_value = [head(1 | DELETES, 1).as_flattened(), b"kv"].concat();
    assert_eq!(failure(&with_value).0, ErrorKind::Invalid);
    let head = head(1 | DELETES | EXPIRES, 0);
    let expiring = [head.as_flattened(), &[1; EXPIRY], b"k"];
    assert_eq!(failure(&expiring.concat()).0, ErrorKind::Invalid);
}

#[test]
fn a_pair_that_expires_at_0_never_does() {
    let head = [(1 | EXPIRES).to_le_bytes(), 1_u32.to_le_bytes()];
    let packed = [head.as_flattened(), &[0; EXPIRY], b"kv"].concat();
    let parsed = PackedOperations::parse(&packed).unwrap();
    assert!(parsed.iter().eq([put(b"k", b"v")]));
}

#[test]
fn a_key_that_is_too_long_is_refused_and_changes_nothing() {
    let long = vec![0; MAX_KEY_LEN + 1];
    let mut packing = some_packing();
    let before = packing.packed.clone();
    assert_eq!(
        packing.add(&deletion(&long)).unwrap_err().kind(),
        ErrorKind::TooLarge
    );
    assert_eq!(packing.packed, before);
    let head = [(long.len() as u32).to_le_bytes(), 0_u32.to_le_bytes()];
    let packed = [&before, head.as_flattened(), &long].concat();
    let (kind, message) = failure(&packed);
    assert_eq!(kind, ErrorKind::TooLarge);
    assert!(message.starts_with(&format!("the operation at byte {} of", before.len())));
}

#[test]
fn what_would_exceed_the_limit_is_refused_by_the_operation_that_would() {
    let mut packing = Packing::default();
    packing.add(&put(b"key", b"value")).unwrap();
    // As if operations of so many bytes had been added: to add them takes 4 GiB.
    packing.end.counted_bytes = MAX_BATCH_BYTES - OPERATION_BYTES - 10;
    let refused = |packing: &mut Packing, operation: &Operation<'_>| {
        packing.add(operation).unwrap_err().kind() == ErrorKind::TooLarge
    };
    assert!(refused(&mut packing, &put(b"12345", b"123456")));
    assert_eq!(packing.operations().len(), 1);
    packing.add(&put(b"12345", b"12345")).unwrap();
    assert!(refused(&mut packing, &deletion(b"")));
    packing.cut(End::default());
    packing.add(&put(b"12345", b"123456")).unwrap();
}

#[test]
fn a_byte_that_is_wrong_leads_to_an_answer() {
    let sound = some_packing().packed;
    for place in 0..sound.len() {
        for wrong in [0, 1, 0x40, 0x7f, 0x80, 0xc0, 0xff] {
            let mut packed = sound.clone();
            packed[place] = wrong;
            if let Ok(parsed) = PackedOperations::parse(&packed) {
                assert_eq!(parsed.iter().count(), parsed.len());
            }
        }
    }
}
