//! The numbers and bytes that records are made of.

use std::io::Cursor;

use capture::payload::records::{put_bytes, put_number, put_signed, RecordReader, Tag};

fn reader(bytes: &[u8]) -> RecordReader<Cursor<Vec<u8>>> {
    RecordReader::new(Cursor::new(bytes.to_vec()))
}

#[test]
fn numbers_come_back() {
    let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
    let signed = [0, -1, 1, 63, 64, -64, -65, i64::MIN, i64::MAX];
    let mut bytes = Vec::new();
    numbers.iter().for_each(|&number| put_number(&mut bytes, number));
    signed.iter().for_each(|&number| put_signed(&mut bytes, number));
    bytes.extend_from_slice(&1.5_f64.to_le_bytes());
    let mut records = reader(&bytes);
    for number in numbers {
        assert_eq!(records.number().unwrap(), number);
    }
    for number in signed {
        assert_eq!(records.signed().unwrap(), number);
    }
    assert_eq!(records.float().unwrap().to_bits(), 1.5_f64.to_bits());
    assert_eq!(records.remaining(), 0);
}

#[test]
fn numbers_are_those_of_postcard() {
    for number in [0, 5, 1 << 20, u64::MAX] {
        let mut bytes = Vec::new();
        put_number(&mut bytes, number);
        assert_eq!(bytes, postcard::to_stdvec(&number).unwrap());
        bytes.clear();
        put_signed(&mut bytes, -(number as i64 >> 1));
        assert_eq!(bytes, postcard::to_stdvec(&-(number as i64 >> 1)).unwrap());
    }
}

#[test]
fn what_is_large_is_read_in_pieces() {
    let text: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
    let mut bytes = vec![Tag::Bytes as u8];
    put_bytes(&mut bytes, &text);
    bytes.push(Tag::End as u8);
    let mut records = reader(&bytes);
    assert_eq!(records.tag().unwrap(), Tag::Bytes);
    assert_eq!(records.count().unwrap(), text.len());
    assert_eq!(records.bytes(400_000).unwrap(), &text[..400_000]);
    let mut place = vec![0; 600_000];
    records.read_into(&mut place).unwrap();
    assert_eq!(place, text[400_000..]);
    assert_eq!(records.tag().unwrap(), Tag::End);
    assert!(records.tag().is_err());
}

#[test]
fn nothing_is_believed() {
    assert!(reader(&[0xff]).tag().is_err());
    assert!(reader(&[0x80]).number().is_err());
    assert!(reader(&[0xff; 20]).number().is_err());
    assert!(reader(&[5, 1, 2]).count().is_err());
    assert!(reader(&[1, 2]).float().is_err());
    assert!(reader(&[1, 2]).bytes(3).is_err());
    assert!(reader(&[1, 2]).read_into(&mut [0; 3]).is_err());
    assert_eq!(reader(&[3, 1, 2, 3]).count().unwrap(), 3);
}
