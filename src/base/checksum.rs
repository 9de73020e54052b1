//! CRC-32C (Castagnoli), by which peers and nodes of the DHT are ranked and named by their
//! addresses (BEP 40, BEP 42), and torn files are found out. No proof against anybody.

/// Castagnoli's polynomial, bits in reverse.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// The checksum of a few bytes, as RFC 3720 B.4 has it; no table, it is taken once for each
/// address.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_checksum() {
        // From RFC 3720 B.4: 32 bytes of zeros; and the usual check.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
