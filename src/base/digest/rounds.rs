//! The eighty rounds of SHA-1, written once for registers of any width. Macros, because
//! functions that are generic over the width could not carry the processor features.
//! Who uses them has `add`, `rotate`, `xor4`, `choose`, `parity`, `majority` and `splat` in
//! scope. Source: FIPS 180-4, 4.1.1, 4.2.1 and 6.1.2 (the sixteen-word schedule of 6.1.3).

/// One round. The roles of the five variables move with each call instead of their values.
macro_rules! sha1_round {
    ($f:ident $k:ident $w:ident[$t:expr]; $a:ident $b:ident $c:ident $d:ident $e:ident) => {
        if $t >= 16 {
            let mixed = xor4($w[($t + 13) % 16], $w[($t + 8) % 16], $w[($t + 2) % 16], $w[$t % 16]);
            $w[$t % 16] = rotate::<1, 31>(mixed);
        }
        $e = add(add($e, add($w[$t % 16], $k)), add($f($b, $c, $d), rotate::<5, 27>($a)));
        $b = rotate::<30, 2>($b);
    };
}

/// Five rounds, after which the roles are where they began.
macro_rules! sha1_five {
    ($f:ident $k:ident $w:ident[$t:expr]; $a:ident $b:ident $c:ident $d:ident $e:ident) => {
        sha1_round!($f $k $w[$t]; $a $b $c $d $e);
        sha1_round!($f $k $w[$t + 1]; $e $a $b $c $d);
        sha1_round!($f $k $w[$t + 2]; $d $e $a $b $c);
        sha1_round!($f $k $w[$t + 3]; $c $d $e $a $b);
        sha1_round!($f $k $w[$t + 4]; $b $c $d $e $a);
    };
}

/// Twenty rounds of one function and one constant.
macro_rules! sha1_twenty {
    ($f:ident $k:literal $w:ident[$t:literal]; $($roles:ident)*) => {
        let k = splat($k);
        sha1_five!($f k $w[$t]; $($roles)*);
        sha1_five!($f k $w[$t + 5]; $($roles)*);
        sha1_five!($f k $w[$t + 10]; $($roles)*);
        sha1_five!($f k $w[$t + 15]; $($roles)*);
    };
}

/// Compresses one block of every lane: `state` are five vectors, `words` sixteen.
macro_rules! sha1_block {
    ($state:ident, $words:ident) => {
        let [mut a, mut b, mut c, mut d, mut e] = $state;
        sha1_twenty!(choose 0x5a82_7999 $words[0]; a b c d e);
        sha1_twenty!(parity 0x6ed9_eba1 $words[20]; a b c d e);
        sha1_twenty!(majority 0x8f1b_bcdc $words[40]; a b c d e);
        sha1_twenty!(parity 0xca62_c1d6 $words[60]; a b c d e);
        let [h0, h1, h2, h3, h4] = $state;
        $state = [add(h0, a), add(h1, b), add(h2, c), add(h3, d), add(h4, e)];
    };
}
