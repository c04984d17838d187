//! Times as the manifest writes them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time in RFC 3339, UTC, whole seconds: `2026-03-01T12:30:05Z`. Before 1970 it is 1970.
pub fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days, http://howardhinnant.github.io/date_algorithms.html, for days >= 0.
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Seconds since 1970 of a time that [`rfc3339`] wrote; `None` for any other text.
pub fn unix_seconds(text: &str) -> Option<u64> {
    let plain = text.strip_suffix('Z')?;
    let numbers: Option<Vec<u64>> = plain
        .split(['-', 'T', ':'])
        .map(|n| n.parse().ok())
        .collect();
    let [year, month, day, hour, minute, second] = numbers?[..] else {
        return None;
    };
    // Days from a civil date, of the same source: the year begins in March.
    let year = if month <= 2 {
        year.checked_sub(1)?
    } else {
        year
    };
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day.checked_sub(1)?;
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    (text == rfc3339(UNIX_EPOCH + Duration::from_secs(seconds))).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_772_368_205, "2026-03-01T12:30:05Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ];
        for (seconds, text) in cases {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
            assert_eq!(unix_seconds(text), Some(seconds));
        }
        for other in [
            "",
            "yesterday",
            "2026-02-30T00:00:00Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(unix_seconds(other), None, "{other}");
        }
    }
}
