//! Rounds: contenders take turns, so that what the machine does meanwhile meets all of them.
//!
//! Owns:  whose turn it is.
//! Never: knows what a contender does.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::stats::{Spread, ratio};

/// One way to do the work. A run answers one figure, usually messages a second.
pub(crate) struct Contender<'a> {
    name: &'static str,
    run: Box<dyn FnMut() -> Result<f64> + 'a>,
}

impl<'a> Contender<'a> {
    pub(crate) fn new(name: &'static str, run: impl FnMut() -> Result<f64> + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// What each contender reached in each round, in the order in which they were given.
pub(crate) struct Figures(Vec<Vec<f64>>);

impl Figures {
    /// The spread of one contender.
    pub(crate) fn spread(&self, contender: usize) -> Spread {
        Spread::of(self.of(contender))
    }

    /// The ratio of one to another, taken round by round.
    pub(crate) fn ratio(&self, subject: usize, baseline: usize) -> Spread {
        ratio(self.of(subject), self.of(baseline))
    }

    fn of(&self, contender: usize) -> &[f64] {
        self.0.get(contender).map_or(&[], Vec::as_slice)
    }
}

/// Runs every contender once in each round; who begins rotates.
pub(crate) fn compete(rounds: u32, contenders: &mut [Contender<'_>]) -> Result<Figures> {
    let mut figures = vec![Vec::new(); contenders.len()];
    for round in 0..rounds as usize {
        for turn in 0..contenders.len() {
            let at = (round + turn) % contenders.len();
            if let (Some(contender), Some(figures)) = (contenders.get_mut(at), figures.get_mut(at)) {
                figures.push((contender.run)().with_context(|| format!("measuring {}", contender.name))?);
            }
        }
    }
    Ok(Figures(figures))
}

/// Repeats a step, which answers how many messages it carried, until the time is over; messages a second.
pub(crate) fn for_a_while(slice: Duration, mut step: impl FnMut() -> Result<u64>) -> Result<f64> {
    let started = Instant::now();
    let mut messages = 0;
    while messages == 0 || started.elapsed() < slice {
        messages += step()?;
    }
    Ok(rate(messages, started.elapsed()))
}

/// Messages a second.
pub(crate) fn rate(messages: u64, took: Duration) -> f64 {
    messages as f64 / took.as_secs_f64().max(1e-9)
}

/// A duration in milliseconds.
pub(crate) fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn contenders_take_turns_and_who_begins_rotates() {
        let order = RefCell::new(String::new());
        let mut contenders = [("a", 1.0), ("b", 4.0)].map(|(name, figure)| {
            let order = &order;
            Contender::new(name, move || {
                order.borrow_mut().push_str(name);
                Ok(figure)
            })
        });
        let figures = compete(3, &mut contenders).unwrap();
        drop(contenders);
        assert_eq!(order.into_inner(), "abbaab");
        assert_eq!(figures.spread(1), Spread::one(4.0));
        assert_eq!(figures.ratio(0, 1), Spread::one(0.25));
    }

    #[test]
    fn a_failure_says_whose_it_was() {
        let mut contenders = [Contender::new("sled", || anyhow::bail!("no disk"))];
        let error = compete(1, &mut contenders).err().unwrap();
        assert_eq!(format!("{error:#}"), "measuring sled: no disk");
    }
}
