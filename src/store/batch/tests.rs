use super::*;
use crate::log::record::MAX_KEY_LEN;

type Owned = (Vec<u8>, Option<Vec<u8>>);

fn owned(batch: &Batch) -> Vec<Owned> {
    batch
        .operations()
        .map(|it| (it.key.to_vec(), it.value.map(<[u8]>::to_vec)))
        .collect()
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn operations_come_back_in_order_whatever_their_lengths() {
    let longest = vec![7; MAX_KEY_LEN];
    let long = vec![8; 300_000];
    let mut batch = Batch::new();
    batch.put(b"", b"").unwrap();
    batch.delete(b"").unwrap();
    batch.put(&longest, &long).unwrap();
    batch.delete(&longest).unwrap();
    batch.put(b"key", b"").unwrap();
    assert_eq!(batch.len(), 5);
    assert_eq!(
        owned(&batch),
        [
            (vec![], Some(vec![])),
            (vec![], None),
            (longest.clone(), Some(long)),
            (longest, None),
            (b"key".to_vec(), Some(vec![])),
        ]
    );
    let continued: Vec<bool> = batch
        .packed()
        .records()
        .map(|fields| fields.continues)
        .collect();
    assert_eq!(continued, [true, true, true, true, false]);
}

#[test]
fn savepoints_nest_and_behave_like_copies_that_were_kept() {
    // Marsaglia's xorshift, as everywhere in the tests.
    let mut state = 0x5eed_u64;
    let mut below = |limit: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % limit
    };
    let mut batch = Batch::new();
    let mut model: Vec<Owned> = Vec::new();
    let mut kept: Vec<(Savepoint, Vec<Owned>)> = Vec::new();
    let mut forgotten = Vec::new();
    for step in 0..20_000_u64 {
        let key = vec![step as u8; below(20) as usize];
        match below(10) {
            0 => kept.push((batch.savepoint().unwrap(), model.clone())),
            1 if !kept.is_empty() => {
                let place = below(kept.len() as u64) as usize;
                batch.rollback_to(kept[place].0).unwrap();
                model.clone_from(&kept[place].1);
                forgotten.extend(kept.drain(place + 1..).map(|(savepoint, _)| savepoint));
            }
            2 if below(50) == 0 => {
                batch.clear();
                model.clear();
                forgotten.extend(kept.drain(..).map(|(savepoint, _)| savepoint));
            }
            3 if !forgotten.is_empty() => {
                let savepoint = forgotten[below(forgotten.len() as u64) as usize];
                assert_eq!(kind(batch.rollback_to(savepoint)), Some(ErrorKind::Invalid));
            }
            4 => {
                batch.delete(&key).unwrap();
                model.push((key, None));
            }
            _ => {
                let value = vec![1; below(30) as usize];
                batch.put(&key, &value).unwrap();
                model.push((key, Some(value)));
            }
        }
        assert_eq!(batch.len(), model.len());
        if step % 100 == 0 {
            assert_eq!(owned(&batch), model);
        }
    }
    assert_eq!(
        kind(batch.rollback_to(Savepoint(u64::MAX))),
        Some(ErrorKind::Invalid)
    );
}

#[test]
fn a_key_that_is_too_long_leaves_the_batch_as_it_was() {
    let mut batch = Batch::new();
    batch.put(b"key", b"value").unwrap();
    let before = owned(&batch);
    let key = vec![0; MAX_KEY_LEN + 1];
    assert_eq!(kind(batch.put(&key, b"")), Some(ErrorKind::TooLarge));
    assert_eq!(kind(batch.delete(&key)), Some(ErrorKind::TooLarge));
    assert_eq!(owned(&batch), before);
}

#[test]
fn a_cleared_batch_keeps_little_memory() {
    let mut batch = Batch::new();
    batch.put(b"key", &vec![0; 8 << 20]).unwrap();
    batch.clear();
    assert!(batch.memory_bytes() <= 1 << 20);
    assert!(batch.is_empty());
}
