use super::*;
use crate::log::record::MAX_KEY_LEN;

pub(in crate::store) fn put<'b>(key: &'b [u8], value: &'b [u8]) -> Operation<'b> {
    Operation {
        key,
        value: Some(value),
        expires_at_ms: None,
    }
}

pub(in crate::store) fn deletion(key: &[u8]) -> Operation<'_> {
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

fn some_operations<'b>(long: &'b [u8; 300]) -> [Operation<'b>; 6] {
    let expiring = Operation {
        expires_at_ms: Some(7),
        ..put(b"later", b"gone")
    };
    [
        put(b"", b""),
        deletion(b""),
        expiring,
        put(long, b"value"),
        deletion(b"later"),
        put(b"key", long),
    ]
}

/// As a caller packs them.
fn pack(operations: &[Operation<'_>]) -> Vec<u8> {
    let mut packed = Vec::new();
    for operation in operations {
        let deletes = [0, DELETES][usize::from(operation.value.is_none())];
        let expires = [0, EXPIRES][usize::from(operation.expires_at_ms.is_some())];
        let (key, value) = (operation.key, operation.value.unwrap_or_default());
        packed.extend((key.len() as u32 | deletes | expires).to_le_bytes());
        packed.extend((value.len() as u32).to_le_bytes());
        packed.extend(
            operation
                .expires_at_ms
                .iter()
                .flat_map(|it| it.to_le_bytes()),
        );
        packed.extend(key);
        packed.extend(value);
    }
    packed
}

#[test]
fn what_was_packed_is_found_again_and_counted() {
    let long = [9; 300];
    let operations = some_operations(&long);
    let packed = pack(&operations);
    let parsed = PackedOperations::parse(&packed).unwrap();
    assert_eq!((parsed.len(), parsed.puts()), (6, 4));
    assert!(parsed.has_expiring());
    let counted: u64 = operations.iter().map(Operation::counted_bytes).sum();
    assert_eq!(parsed.counted_bytes(), counted);
    assert!(parsed.iter().eq(operations));
    let none = PackedOperations::parse(&[]).unwrap();
    assert!(none.is_empty() && !none.has_expiring());
}

#[test]
fn an_end_within_an_operation_is_refused_with_its_place() {
    let long = [9; 300];
    let operations = some_operations(&long);
    let packed = pack(&operations);
    let mut ends = vec![0];
    for operation in operations {
        let expiry = usize::from(operation.expires_at_ms.is_some()) * EXPIRY;
        let length = HEAD + expiry + operation.key.len() + operation.value.map_or(0, <[u8]>::len);
        ends.push(ends.last().unwrap() + length);
    }
    for length in 0..packed.len() {
        let cut = &packed[..length];
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
fn a_key_that_is_too_long_is_refused_with_its_place() {
    let (long, kept) = (vec![0; MAX_KEY_LEN + 1], [9; 300]);
    let before = pack(&some_operations(&kept));
    let packed = [&before[..], &pack(&[deletion(&long)])].concat();
    let (kind, message) = failure(&packed);
    assert_eq!(kind, ErrorKind::TooLarge);
    assert!(message.starts_with(&format!("the operation at byte {} of", before.len())));
}

#[test]
fn a_byte_that_is_wrong_leads_to_an_answer() {
    let sound = pack(&some_operations(&[9; 300]));
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
