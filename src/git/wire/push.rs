//! A push over our own connections: one question, one answer, and one `git pack-objects` where there is something to send.
//!
//! The lease of each ref is the old value in its command: the server moves it only from there. What it says of each ref
//! comes out as `git push --porcelain` would tell it, so that nobody has to know who pushed. `obstacle.rs` says what is
//! left to git, `http.rs` speaks HTTP, `greeting.rs` and `report.rs` are pure.

mod greeting;
mod local;
mod obstacle;
mod report;
mod upload;

use std::collections::{BTreeSet, HashMap};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bstr::BString;
use bytes::Bytes;
use reqwest::Client;
use tokio::sync::{OnceCell, mpsc};
use tokio::time::sleep;

use self::greeting::Receiver;
use self::report::{Answer, Verdict};
use super::http::{Http, Service, Stop};
use super::{AGENT, Place, Unhandled, Wire};
use crate::base::client;
use crate::base::failure::{Failure, Reason};
use crate::git::BULK;
use crate::git::process::{Ended, run_piped};
use crate::git::refs::Oid;
use crate::git::verbs::{Listener, Progress};
use crate::git::{Git, PushEdit, Pushed, RefResult, Remote, Shown, classify};

/// What is done, for messages.
const WHAT: &str = "cannot push to the destination";

/// The tips of a destination that a pack is built upon at most: more of them make it hardly smaller.
const MOST_KNOWN: usize = 20_000;

/// A pack without any object: sent with refs that move to what the destination has already.
const EMPTY_PACK: &[u8; 32] =
    b"PACK\0\0\0\x02\0\0\0\0\x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e";

/// What is kept from push to push.
#[derive(Debug, Default)]
pub(super) struct Memory {
    clients: Mutex<HashMap<Place, Client>>,
    /// What the user's settings say against pushing from here; asked for at most once.
    settings: OnceCell<Option<Unhandled>>,
}

/// What a push has to send.
enum Load {
    /// Deletions only.
    Nothing,
    /// The destination has every object.
    Empty,
    /// What these tips have, and those do not.
    Objects { wanted: BTreeSet<Oid>, known: Vec<Oid> },
}

impl Git {
    /// Pushes `edits` from the repository `dir` without `git push`; `None` when that is for git to do, and nothing has
    /// been moved then.
    ///
    /// # Errors
    /// As git would fail: the same reasons, `timed_out` and `cancelled` included.
    pub(in crate::git) async fn push_directly(
        &self,
        dir: &Path,
        remote: &Remote,
        edits: &[PushEdit],
        progress: Progress<'_>,
    ) -> Result<Option<Pushed>, Failure> {
        let Some(wire) = &self.wire else { return Ok(None) };
        let pushed = match self.push_obstacle(wire, dir, remote).await {
            Some(obstacle) => Err(Stop::Unhandled(obstacle)),
            None => self.push_within_limits(wire, dir, remote, edits, progress).await,
        };
        match pushed {
            Ok(pushed) => Ok(Some(pushed)),
            Err(Stop::Failed(failure)) => Err(failure),
            Err(Stop::Unhandled(Unhandled(why))) => {
                tracing::debug!(url = %remote.url, why = crate::base::redact::redact(&why), "push left to git");
                Ok(None)
            }
        }
    }

    async fn push_within_limits(
        &self,
        wire: &Wire,
        dir: &Path,
        remote: &Remote,
        edits: &[PushEdit],
        progress: Progress<'_>,
    ) -> Result<Pushed, Stop> {
        tracing::debug!(url = %remote.url, refs = edits.len(), "push");
        let limits = &self.limits;
        // A CA file that cannot be read: git has words for it.
        let client = wire.pushes.client(self.place(remote), self).map_err(|failure| Unhandled(failure.to_string()))?;
        let http = Http { service: Service::ReceivePack, ..self.exchange(&client, remote, WHAT) };
        let late = |why: String| Err(Failure::new(Reason::TimedOut, format!("{WHAT}: {why}")).into());
        let total = async {
            match limits.total {
                Some(total) => sleep(total).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = limits.stop.cancelled() => {
                Err(Failure::new(Reason::Cancelled, format!("{WHAT}: stopped on request")).into())
            }
            pushed = self.push_now(&http, dir, edits, progress) => pushed,
            () = http.pulse.silence(limits.idle) => late(format!("nothing was heard for {} s", limits.idle.as_secs())),
            () = total => late(format!("not done after {} s", limits.total.unwrap_or_default().as_secs())),
        }
    }

    async fn push_now(
        &self,
        http: &Http<'_>,
        dir: &Path,
        edits: &[PushEdit],
        progress: Progress<'_>,
    ) -> Result<Pushed, Stop> {
        let receiver = http.greet().await?;
        if let Some(why) = lacks(&receiver, edits) {
            return Err(Unhandled(why).into());
        }
        let mut results = HashMap::new();
        let mut moves = Vec::new();
        for edit in edits {
            match judge(edit, receiver.refs.get(&edit.name).copied()) {
                None => moves.push(edit),
                Some(result) => drop(results.insert(edit.name.clone(), result)),
            }
        }
        let mut stderr = String::new();
        if !moves.is_empty() {
            let (deletions, others): (Vec<_>, Vec<_>) = moves.iter().partition(|edit| edit.new.is_none());
            if deletions.len() >= BULK && receiver.can(ATOMIC) {
                let (told, said) = self
                    .send(
                        http,
                        dir,
                        &receiver,
                        commands(&deletions, &receiver, &[ATOMIC]),
                        Load::Nothing,
                        &mut *progress,
                    )
                    .await?;
                let told: HashMap<_, _> =
                    told.into_iter().filter(|(_, result)| *result == RefResult::Accepted).collect();
                // Where one was refused, all were: each by itself then, with the rest.
                if told.len() == deletions.len() {
                    stderr = said;
                    moves = others;
                }
                moves.retain(|edit| !told.contains_key(&edit.name));
                results.extend(told);
            }
        }
        if !moves.is_empty() {
            let load = self.load(dir, &moves, &receiver).await?;
            let (told, said) =
                self.send(http, dir, &receiver, commands(&moves, &receiver, &[]), load, progress).await?;
            results.extend(told);
            stderr.push_str(&said);
        }
        let mut result = |edit: &PushEdit| results.remove(&edit.name).unwrap_or_else(unheard);
        Ok(Pushed { results: edits.iter().map(|edit| (edit.name.clone(), result(edit))).collect(), stderr })
    }

    /// Finds out what must be sent for `moves`.
    async fn load(&self, dir: &Path, moves: &[&PushEdit], receiver: &Receiver) -> Result<Load, Stop> {
        let there = receiver.tips();
        let wanted: BTreeSet<Oid> = moves.iter().filter_map(|edit| edit.new).collect();
        if wanted.is_empty() {
            return Ok(Load::Nothing);
        }
        // The empty pack of another hash ends with another checksum.
        if wanted.is_subset(&there) && receiver.format() == "sha1" {
            return Ok(Load::Empty);
        }
        // Of those that are replaced first: what is new is most likely built upon them.
        let replaced: BTreeSet<Oid> = moves.iter().filter_map(|edit| edit.seen).collect();
        let others = there.difference(&replaced).copied();
        let asked: BTreeSet<Oid> = replaced.iter().copied().chain(others).take(MOST_KNOWN).collect();
        let known = match asked.is_empty() {
            true => asked,
            false => self.known_objects(dir, &asked).await?,
        };
        Ok(Load::Objects { wanted, known: known.into_iter().collect() })
    }

    /// Sends these commands and the pack, and returns what the server made of each, and its words.
    async fn send(
        &self,
        http: &Http<'_>,
        dir: &Path,
        receiver: &Receiver,
        commands: Vec<u8>,
        load: Load,
        progress: Progress<'_>,
    ) -> Result<(HashMap<BString, RefResult>, String), Stop> {
        let listener = Mutex::new(Listener { progress, received: 0 });
        let mut hear = |line: &str| {
            http.pulse.beat();
            listener.lock().unwrap_or_else(PoisonError::into_inner).hear(line);
        };
        let (sender, pieces) = mpsc::channel(2);
        let packing = self.pack(dir, receiver, load, sender, hear);
        let answering = async {
            let mut response = http.push(commands, pieces).await?;
            let mut answer = Answer::new(receiver.can(SIDE_BANDS));
            let broken = loop {
                match http.piece(&mut response).await {
                    Ok(Some(bytes)) => {
                        answer.feed(bytes, &mut hear).map_err(|bad| http.garbled("send-pack: ", &bad))?;
                    }
                    Ok(None) => break None,
                    Err(Stop::Failed(failure)) if failure.reason() == Reason::NetworkFailed => break Some(failure),
                    Err(stop) => return Err(stop),
                }
            };
            match (answer.finish(&mut hear), broken) {
                // A report that is whole counts, whatever became of the connection afterwards.
                ((Verdict::Told(results), words), _) => Ok((results, words)),
                // In slices it may be taken. Git learns of it in this way only when the server hangs up at once.
                ((Verdict::NotTaken(results), words), _) => match http.said(&words) {
                    failure if failure.reason() == Reason::TooLarge => Err(failure.into()),
                    _ => Ok((results, words)),
                },
                ((Verdict::None, words), None) => Err(http.said(&words).into()),
                // What the server said until then may tell why.
                ((Verdict::None, words), Some(broken)) => {
                    let failure = http.said(&format!("{words}error: RPC failed; curl 18 {broken}\n"));
                    Err(failure.with_message(broken.message()).into())
                }
            }
        };
        let mut packing = std::pin::pin!(packing);
        let mut answering = std::pin::pin!(answering);
        tokio::select! {
            biased;
            packed = &mut packing => {
                packed?;
                answering.await
            }
            // It has heard enough: nobody needs the rest of the pack.
            answer = &mut answering => answer,
        }
    }

    /// Makes the pack and hands it over piece by piece.
    async fn pack(
        &self,
        dir: &Path,
        receiver: &Receiver,
        load: Load,
        out: mpsc::Sender<Option<Bytes>>,
        hear: impl FnMut(&str),
    ) -> Result<(), Failure> {
        let (wanted, known) = match load {
            Load::Objects { wanted, known } => (wanted, known),
            Load::Empty | Load::Nothing => {
                let pack = matches!(load, Load::Empty).then(|| Bytes::from_static(EMPTY_PACK));
                for piece in pack.map(Some).into_iter().chain([None]) {
                    // As below.
                    let _ = out.send(piece).await;
                }
                return Ok(());
            }
        };
        let mut command = self.command(Some(dir));
        // What is missing is damage, and nothing to be fetched.
        command.env("GIT_NO_LAZY_FETCH", "1");
        command.args(["pack-objects", "--revs", "--stdout", "--progress", "--all-progress-implied"]);
        if !receiver.can("no-thin") {
            command.arg("--thin");
        }
        if receiver.can("ofs-delta") {
            command.arg("--delta-base-offset");
        }
        tracing::debug!(command = ?Shown(&command), "git");
        let lines = known.iter().map(|oid| format!("^{oid}\n")).chain(wanted.iter().map(|oid| format!("{oid}\n")));
        let ended = run_piped(command, lines.collect::<String>().into(), out, hear).await?;
        let Ended { status, mut stderr, was_taken } = ended;
        // Whoever does not take it any more has failed, and tells why.
        if status.success() || !was_taken {
            return Ok(());
        }
        // As git says it of its own.
        if let Some(signal) = status.signal() {
            stderr.push_str(&format!("error: pack-objects died of signal {signal}\n"));
        }
        stderr.push_str("error: failed to push some refs to the destination\n");
        let (reason, evidence) = classify::explain("", &stderr);
        let failure = Failure::new(reason, format!("{WHAT}: git could not make the pack"));
        Err(failure.with_evidence(evidence))
    }
}

impl Memory {
    /// The client for pushes to a place, made when it is needed first.
    fn client(&self, place: Place, git: &Git) -> Result<Client, Failure> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&place) {
            return Ok(client.clone());
        }
        let ca_file = place.ca_file.as_ref().map(|(path, _)| path.as_path());
        let client = client::build_for_git_pushes(ca_file, place.proxy.as_ref(), git.limits.idle, AGENT)?;
        clients.insert(place, client.clone());
        Ok(client)
    }
}

const SIDE_BANDS: &str = "side-band-64k";

/// All or nothing. A server that deletes refs one by one writes its `packed-refs` anew for each of them: 2,500 of 2,500 in 18 s,
/// and 10,000 together in 3 s (git 2.47).
const ATOMIC: &str = "atomic";

/// Of a ref that the server says nothing about (git 2.47, transport.c).
fn unheard() -> RefResult {
    RefResult::Refused("[remote failure] (remote failed to report status)".to_owned())
}

/// Whether every ref of a push is as wished.
fn are_gone(pushed: &Pushed) -> bool {
    pushed.results.iter().all(|(_, result)| *result == RefResult::Accepted)
}

/// What a server lacks of what these edits need here; git knows other ways.
fn lacks(receiver: &Receiver, edits: &[PushEdit]) -> Option<String> {
    let digits = receiver.digits();
    let oids = edits.iter().flat_map(|edit| edit.seen.into_iter().chain(edit.new));
    if oids.into_iter().any(|oid| Some(oid.to_string().len()) != digits) {
        return Some("the destination names its objects by another hash".to_owned());
    }
    if !receiver.can("report-status") && !receiver.can("report-status-v2") {
        return Some("the server does not report what came of a push".to_owned());
    }
    if !receiver.can("delete-refs") && edits.iter().any(|edit| edit.new.is_none()) {
        return Some("the server does not delete refs".to_owned());
    }
    None
}

/// What comes of an edit before it is sent, where the ref is `now`; `None` when it is to be sent.
fn judge(edit: &PushEdit, now: Option<Oid>) -> Option<RefResult> {
    match edit.new {
        // It is where it shall be, whoever moved it there.
        Some(new) if Some(new) == now => Some(RefResult::Accepted),
        _ if now != edit.seen => Some(RefResult::Refused("[rejected] (stale info)".to_owned())),
        None if now.is_none() => Some(RefResult::Accepted),
        _ => None,
    }
}

/// The packets that say what is to be moved, and how we want to hear of it.
fn commands(moves: &[&PushEdit], receiver: &Receiver, more: &[&str]) -> Vec<u8> {
    let mut wishes = String::from("\0");
    let report = ["report-status-v2", "report-status"].into_iter().find(|ability| receiver.can(ability));
    for ability in report.into_iter().chain([SIDE_BANDS].into_iter().filter(|ability| receiver.can(ability))) {
        wishes.push_str(&format!(" {ability}"));
    }
    more.iter().for_each(|ability| wishes.push_str(&format!(" {ability}")));
    if receiver.can(&format!("object-format={}", receiver.format())) {
        wishes.push_str(&format!(" object-format={}", receiver.format()));
    }
    wishes.push_str(&format!(" agent={AGENT}"));
    packets(moves, wishes, receiver.digits().unwrap_or_default())
}

/// One packet for each ref, the first with our wishes, and the end of them.
fn packets(moves: &[&PushEdit], mut wishes: String, digits: usize) -> Vec<u8> {
    let null = "0".repeat(digits);
    let id = |oid: Option<Oid>| oid.map_or_else(|| null.clone(), |oid| oid.to_string());
    let mut packets = Vec::new();
    for edit in moves {
        let ids = format!("{} {} ", id(edit.seen), id(edit.new));
        let length = 4 + ids.len() + edit.name.len() + wishes.len();
        packets.extend_from_slice(format!("{length:04x}{ids}").as_bytes());
        packets.extend_from_slice(&edit.name);
        packets.extend_from_slice(std::mem::take(&mut wishes).as_bytes());
    }
    packets.extend_from_slice(b"0000");
    packets
}
