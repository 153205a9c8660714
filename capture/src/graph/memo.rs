//! Where objects were written, by their addresses.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Addresses are as good as hashes once their bits are spread.
#[derive(Default)]
pub struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_usize(usize::from(byte));
        }
    }

    fn write_usize(&mut self, address: usize) {
        let spread = (self.0 ^ address as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ spread >> 32;
    }
}

/// Something by the address of an object, which whoever keeps this keeps alive.
pub type ByAddress<T> = HashMap<usize, T, BuildHasherDefault<AddressHasher>>;
