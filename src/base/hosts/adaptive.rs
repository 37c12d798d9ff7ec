//! Pure: how much of one kind a host is asked at a time. Halved when the host asks for less, and recovering by and by.

/// A limit that follows what a host can take: additive increase, multiplicative decrease, as TCP does it.
#[derive(Debug)]
pub(super) struct Adaptive {
    most: f64,
    limit: f64,
    /// Grows with each halving: what began before the last one says nothing about the limit that stands now.
    round: u64,
}

impl Adaptive {
    /// Begins at `most`, which it never exceeds.
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1) as f64;
        Adaptive { most, limit: most, round: 0 }
    }

    /// How many may be under way now; at least one.
    pub(super) fn now(&self) -> usize {
        self.limit as usize
    }

    /// The round that what begins now belongs to.
    pub(super) fn round(&self) -> u64 {
        self.round
    }

    /// The host asked for less, answering something of `round`: half as much from now on, once for all of that round.
    /// Returns whether this changed the limit.
    pub(super) fn pressed(&mut self, round: u64) -> bool {
        if round != self.round {
            return false;
        }
        self.round += 1;
        let before = self.now();
        self.limit = (self.limit / 2.0).max(1.0);
        self.now() != before
    }

    /// Something of `round` went well: one more at a time after as many successes as the limit is.
    pub(super) fn eased(&mut self, round: u64) {
        if round == self.round {
            self.limit = (self.limit + 1.0 / self.limit).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_halves_it_once_a_round_and_never_below_one() {
        let mut limit = Adaptive::new(16);
        let round = limit.round();
        // A burst of sixteen refusals is one wish.
        let changed = (0..16).filter(|_| limit.pressed(round)).count();
        assert_eq!((limit.now(), changed), (8, 1));
        let halved: Vec<usize> = (0..5)
            .map(|_| {
                limit.pressed(limit.round());
                limit.now()
            })
            .collect();
        assert_eq!(halved, [4, 2, 1, 1, 1]);
    }

    #[test]
    fn successes_bring_it_back_one_by_one_and_never_above_the_most() {
        let mut limit = Adaptive::new(4);
        limit.pressed(0);
        limit.pressed(1);
        assert_eq!(limit.now(), 1);
        // What was under way before the last halving proves nothing.
        (0..99).for_each(|_| limit.eased(1));
        assert_eq!(limit.now(), 1);
        let recovered: Vec<usize> = (0..12)
            .map(|_| {
                limit.eased(2);
                limit.now()
            })
            .collect();
        assert_eq!(recovered, [2, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4]);
    }
}
