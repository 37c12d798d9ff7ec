//! Pure: which of the waiting tasks begins next. The largest first, since they take longest; beside them small ones from
//! the other end, so that neither kind waits for the other; and no host more than it can take, while others have room.

use std::collections::{BTreeMap, VecDeque};

/// One in so many slots works from the small end.
const SMALL_SHARE: usize = 4;

/// Tasks that wait, and how many are at work.
#[derive(Debug)]
pub struct Schedule<T> {
    /// By host, each with its rank in the order of sizes.
    waiting: BTreeMap<String, VecDeque<(usize, T)>>,
    slots: [usize; 2],
    busy: [usize; 2],
}

/// The end of the queue that a slot works from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Large = 0,
    Small = 1,
}

/// A task whose time has come.
#[derive(Debug)]
pub struct Turn<T, P> {
    pub task: T,
    /// To be given back to [`Schedule::done`].
    pub end: End,
    /// What its host's side gave for it.
    pub pass: P,
}

impl<T> Schedule<T> {
    /// A schedule of `tasks`, largest first, each with its host; at most `slots` at work.
    pub fn new(tasks: impl IntoIterator<Item = (String, T)>, slots: usize) -> Self {
        let mut waiting: BTreeMap<String, VecDeque<(usize, T)>> = BTreeMap::new();
        for (rank, (host, task)) in tasks.into_iter().enumerate() {
            waiting.entry(host).or_default().push_back((rank, task));
        }
        let small = if slots > 1 { (slots / SMALL_SHARE).max(1) } else { 0 };
        Schedule { waiting, slots: [slots.max(1) - small, small], busy: [0, 0] }
    }

    /// The task that begins now; `None` when all slots are taken, nothing waits, or `admit` turned every host away that
    /// something waits for.
    pub fn next<P>(&mut self, mut admit: impl FnMut(&str) -> Option<P>) -> Option<Turn<T, P>> {
        let free = |end: End| self.busy[end as usize] < self.slots[end as usize];
        let end = [End::Large, End::Small].into_iter().find(|end| free(*end))?;
        let rank = |queue: &VecDeque<(usize, T)>| match end {
            End::Large => queue.front().map(|(rank, _)| *rank),
            End::Small => queue.back().map(|(rank, _)| usize::MAX - *rank),
        };
        let mut hosts: Vec<(usize, String)> =
            self.waiting.iter().filter_map(|(host, queue)| Some((rank(queue)?, host.clone()))).collect();
        hosts.sort();
        let (host, pass) = hosts.into_iter().find_map(|(_, host)| admit(&host).map(|pass| (host, pass)))?;
        let queue = self.waiting.get_mut(&host)?;
        let (_, task) = match end {
            End::Large => queue.pop_front()?,
            End::Small => queue.pop_back()?,
        };
        self.busy[end as usize] += 1;
        Some(Turn { task, end, pass })
    }

    /// A task that began at this end has ended.
    pub fn done(&mut self, end: End) {
        self.busy[end as usize] -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of what begins, as long as something can.
    fn begin(schedule: &mut Schedule<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| schedule.next(|_| Some(()))).map(|turn| turn.task).collect()
    }

    fn one_host(names: &[&'static str], slots: usize) -> Schedule<&'static str> {
        Schedule::new(names.iter().map(|name| ("h".to_owned(), *name)), slots)
    }

    #[test]
    fn the_largest_begin_and_a_small_one_beside_them() {
        let mut schedule = one_host(&["300M", "200M", "100M", "90M", "80M", "1K"], 4);
        assert_eq!(begin(&mut schedule), ["300M", "200M", "100M", "1K"]);
        // The small end goes on with small ones, and is never taken by a large one.
        schedule.done(End::Small);
        assert_eq!(begin(&mut schedule), ["80M"]);
        schedule.done(End::Large);
        assert_eq!(begin(&mut schedule), ["90M"]);
        schedule.done(End::Large);
        assert!(begin(&mut schedule).is_empty());
    }

    #[test]
    fn one_slot_is_for_the_largest() {
        assert_eq!(begin(&mut one_host(&["2", "1"], 1)), ["2"]);
        assert_eq!(begin(&mut one_host(&["3", "2", "1"], 2)), ["3", "1"]);
    }

    #[test]
    fn a_quarter_of_many_slots_is_for_the_small() {
        let schedule: Schedule<()> = Schedule::new([], 16);
        assert_eq!(schedule.slots, [12, 4]);
    }

    #[test]
    fn a_host_at_its_limit_keeps_no_other_waiting() {
        let task = |host: &str, name| (host.to_owned(), name);
        let tasks = [task("busy", "a"), task("busy", "b"), task("busy", "c"), task("idle", "d"), task("idle", "e")];
        let mut schedule = Schedule::new(tasks, 9);
        let mut room = 1;
        let mut names = Vec::new();
        while let Some(turn) = schedule.next(|host| match host {
            "busy" if room == 0 => None,
            "busy" => {
                room -= 1;
                Some(())
            }
            _ => Some(()),
        }) {
            names.push(turn.task);
        }
        assert_eq!(names, ["a", "d", "e"]);
    }

    #[test]
    fn every_task_begins_once() {
        let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let tasks = names.iter().enumerate().map(|(n, name)| (format!("host{}", n % 3), name));
        let mut schedule = Schedule::new(tasks, 5);
        let mut seen = Vec::new();
        while let Some(turn) = schedule.next(|_| Some(())) {
            seen.push(turn.task.clone());
            schedule.done(turn.end);
        }
        seen.sort();
        let mut all = names.clone();
        all.sort();
        assert_eq!(seen, all);
    }
}
