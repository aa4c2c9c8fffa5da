//! What is added to a wait so that not all dispatches come back at once.

/// A number in `[0, 1)` that depends on the string alone (FNV-1a, 64 bits).
pub(in crate::core) fn fraction(seed: &str) -> f64 {
    let hash = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    f64::from(u32::try_from(hash >> 40).unwrap_or(0)) / f64::from(1u32 << 24)
}
