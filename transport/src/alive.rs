//! Whether the other end of a channel is still there: asked now and then by the far end, answered by home.
//!
//! A line that is cut tells nobody, and who only waits at it waits for hours. With a question under way, what
//! carries the line has bytes that nobody acknowledges, and gives it up in some minutes. That is all that most
//! programs need: theirs is the line's end to judge, and an answer may come late, as from a home that was stopped or asleep.
//!
//! A guest's home goes on in its place when the line has broken, though, and there must never be two. So it has a
//! lease, which an answer makes new, counted from its question:
//!
//! ```text
//!  home                         the far end
//!   │ ◀── Ask ─────────────────── │ ╮ since here, and if nothing answers
//!   │ ─── Answer ───────────────▶ │ │ the guest ends
//!   ╵ the line breaks             │ │
//!   │ ╮ since the question came,  │ ╯
//!   │ │ which was later           ╵
//!   ▼ ╯ home goes on
//! ```

use nix::poll::PollTimeout;
use nix::time::{clock_gettime, ClockId};
use std::sync::OnceLock;
use std::time::Duration;

/// How often it is asked, in seconds: an environment variable of the far end, and what holds without it.
const VARIABLE: &str = "PYTELEPORT_ALIVE";
const EVERY: Duration = Duration::from_secs(15);

/// A lease ends that nobody has made new for so many questions.
const LEASE: u32 = 4;

/// The environment soon is that of the program, and this is not for it to say.
static SAID: OnceLock<Duration> = OnceLock::new();

/// Looks at the environment, when this process begins to be a far end.
pub(crate) fn look() -> Duration {
    *SAID.get_or_init(|| every(std::env::var(VARIABLE).ok().as_deref()))
}

/// A moment, by a clock that goes on while the machine sleeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

impl Moment {
    pub(crate) fn now() -> Moment {
        // Linux has this clock since 2.6.39.
        Moment(clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from))
    }

    pub(crate) fn after(self, time: Duration) -> Moment {
        Moment(self.0.saturating_add(time))
    }

    /// How long it is until then; nothing if it is past.
    pub(crate) fn away(self) -> Option<Duration> {
        self.0.checked_sub(Moment::now().0).filter(|left| !left.is_zero())
    }
}

/// For `poll`: until the first of these, or for ever.
pub(crate) fn until(moments: impl IntoIterator<Item = Moment>) -> PollTimeout {
    match moments.into_iter().min() {
        None => PollTimeout::NONE,
        // A bit more, lest it wakes just before.
        Some(first) => first.away().map_or(PollTimeout::ZERO, |left| {
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        }),
    }
}

/// Of a far end, what it asks.
#[derive(Debug)]
pub(crate) struct Asking {
    every: Duration,
    /// The last question, and when it was asked.
    number: u32,
    asked: Moment,
    is_answered: bool,
    /// When the last one was asked that has an answer.
    heard: Moment,
}

impl Asking {
    /// Home was there at this moment.
    pub(crate) fn since(moment: Moment) -> Asking {
        Asking {
            every: look(),
            number: 0,
            asked: moment,
            is_answered: true,
            heard: moment,
        }
    }

    /// How long after its last sign of life home may be thought to be there.
    pub(crate) fn lease(&self) -> Duration {
        self.every * LEASE
    }

    /// When that is over.
    pub(crate) fn lease_end(&self) -> Moment {
        self.heard.after(self.lease())
    }

    /// When to ask again; not as long as there is no answer.
    pub(crate) fn due(&self) -> Option<Moment> {
        self.is_answered.then(|| self.asked.after(self.every))
    }

    /// The next question, if it is due.
    pub(crate) fn next(&mut self) -> Option<[u8; 4]> {
        if self.due()?.away().is_some() {
            return None;
        }
        self.number = self.number.wrapping_add(1);
        self.asked = Moment::now();
        self.is_answered = false;
        Some(self.number.to_le_bytes())
    }

    /// Takes an answer.
    pub(crate) fn hear(&mut self, number: &[u8]) {
        if !self.is_answered && number == self.number.to_le_bytes() {
            self.is_answered = true;
            self.heard = self.asked;
        }
    }
}

fn every(said: Option<&str>) -> Duration {
    said.and_then(|text| text.trim().parse().ok())
        .filter(|seconds: &f64| (0.01..1e6).contains(seconds))
        .map_or(EVERY, Duration::from_secs_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_question_at_a_time() {
        let start = Moment::default(); // long ago
        let mut asking = Asking::since(start);
        assert_eq!(asking.next(), Some([1, 0, 0, 0]));
        assert_eq!((asking.due(), asking.next()), (None, None));
        asking.hear(&[9, 0, 0, 0]);
        assert_eq!(asking.due(), None);
        asking.hear(&[1, 0, 0, 0]);
        assert!(asking.due().is_some_and(|due| due.away().is_some()));
        assert_eq!(asking.next(), None);
    }

    #[test]
    fn the_lease_is_counted_from_the_question_that_was_answered() {
        let start = Moment::default();
        let mut asking = Asking::since(start);
        assert_eq!(asking.lease_end(), start.after(4 * EVERY));
        let before = Moment::now();
        asking.next();
        assert_eq!(asking.lease_end(), start.after(4 * EVERY));
        asking.hear(&[1, 0, 0, 0]);
        assert!(asking.lease_end() >= before.after(4 * EVERY));
        assert!(asking.lease_end() <= Moment::now().after(4 * EVERY));
    }

    #[test]
    fn how_often_is_a_number_of_seconds() {
        assert_eq!(every(Some(" 0.5 ")), Duration::from_millis(500));
        for nonsense in ["", "often", "0", "-1", "nan", "inf", "1e300"] {
            assert_eq!(every(Some(nonsense)), EVERY);
        }
        assert_eq!(every(None), EVERY);
    }
}
