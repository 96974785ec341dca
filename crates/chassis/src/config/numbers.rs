//! figment's numbers, which keep their width, as the three things the loader needs: whole, float, text.
//!
//! Leaves out bounds: the type that a number is read into checks its own.

use figment::value::Num;

/// The number if it is whole. A whole number beyond `i128` exists in no field we read.
pub(super) fn whole(number: &Num) -> Option<i128> {
    match *number {
        Num::F32(_) | Num::F64(_) => None,
        Num::U128(number) => i128::try_from(number).ok(),
        Num::U8(number) => Some(number.into()),
        Num::U16(number) => Some(number.into()),
        Num::U32(number) => Some(number.into()),
        Num::U64(number) => Some(number.into()),
        Num::USize(number) => i128::try_from(number).ok(),
        Num::I8(number) => Some(number.into()),
        Num::I16(number) => Some(number.into()),
        Num::I32(number) => Some(number.into()),
        Num::I64(number) => Some(number.into()),
        Num::I128(number) => Some(number),
        Num::ISize(number) => i128::try_from(number).ok(),
    }
}

/// The number as a float; whole numbers are taken for floats too, since people write `ratio = 1`.
pub(super) fn float(number: &Num) -> f64 {
    match *number {
        Num::F32(number) => number.into(),
        Num::F64(number) => number,
        ref other => number_as_text(other).parse().unwrap_or(f64::MAX),
    }
}

/// The shortest text that reads back as the same number.
pub(super) fn number_as_text(number: &Num) -> String {
    match (number, whole(number)) {
        (_, Some(number)) => number.to_string(),
        (Num::F32(number), None) => format!("{number:?}"),
        (Num::F64(number), None) => format!("{number:?}"),
        (Num::U128(number), None) => number.to_string(),
        (_, None) => String::new(),
    }
}
