//! Numbers that look random and are not: pure functions of what they are asked about.

/// Mixes the parts into 64 bits that depend on every one of them (splitmix64's finaliser, chained).
pub(crate) fn mix(parts: &[u64]) -> u64 {
    parts.iter().fold(0x9e37_79b9_7f4a_7c15, |state, part| {
        let mut z = (state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// A text as a number, to be mixed (FNV-1a).
pub(crate) fn text(value: &str) -> u64 {
    value.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A number from zero up to, not including, `limit`.
pub(crate) fn below(limit: u32, parts: &[u64]) -> u32 {
    u32::try_from(mix(parts) % u64::from(limit.max(1))).expect("a remainder is below its divisor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_and_its_place_counts() {
        assert_ne!(mix(&[1, 2]), mix(&[2, 1]));
        assert_ne!(mix(&[1, 2]), mix(&[1, 3]));
        assert_eq!(mix(&[1, 2]), mix(&[1, 2]));
        assert_ne!(text("amcdemous01"), text("amcdemous02"));
    }

    #[test]
    fn numbers_stay_below_their_limit_and_fill_the_range() {
        let seen: std::collections::BTreeSet<u32> = (0..200).map(|n| below(10, &[n])).collect();
        assert_eq!(seen, (0..10).collect());
    }
}
