//! One push over HTTP: the server's greeting, then commands and pack in one request.

use std::io;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::{Body, Response};
use tokio::sync::mpsc;

use super::WHAT;
use super::greeting::{Greeting, Receiver};
use crate::base::failure::{Failure, Reason};
use crate::git::wire::http::{Http, Step, Stop};
use crate::git::wire::listing::Trouble;

/// What goes in one piece, with its length; what is longer goes in chunks, which some old servers do not take. As much as
/// with git (`http.postBuffer`).
const ONE_PIECE: usize = 1 << 20;

impl Http<'_> {
    /// Asks the server what it has and what it can do.
    pub(super) async fn greet(&self) -> Result<Receiver, Stop> {
        let answer = self.ask(self.first(), Step::First).await?;
        let mut greeting = Greeting::default();
        self.read(answer, Step::First, |packet| match greeting.take(packet) {
            Ok(()) => Ok(greeting.is_done()),
            Err(Trouble::Unfit(what)) => Err(Trouble::Strange(what)),
            Err(trouble) => Err(trouble),
        })
        .await?;
        Ok(greeting.finish())
    }

    /// Sends commands and what comes out of `pack`, and returns the answer of a server that takes them.
    pub(super) async fn push(
        &self,
        commands: Vec<u8>,
        mut pack: mpsc::Receiver<Option<Bytes>>,
    ) -> Result<Response, Stop> {
        let mut head = commands;
        let body = loop {
            match pack.recv().await {
                Some(Some(piece)) => {
                    self.speed.moved(piece.len()).await;
                    self.pulse.beat();
                    head.extend_from_slice(&piece);
                }
                Some(None) => break Body::from(head),
                // Whoever made the pack knows why.
                None => return Err(Failure::new(Reason::LocalFailed, format!("{WHAT}: there is no pack")).into()),
            }
            if head.len() > ONE_PIECE {
                break self.chunks(head, pack);
            }
        };
        self.pulse.beat();
        self.ask(self.post(body), Step::Push).await
    }

    /// What has come out of the pack, then the rest as it is made. A pack that ends early breaks the request off.
    fn chunks(&self, head: Vec<u8>, pack: mpsc::Receiver<Option<Bytes>>) -> Body {
        let (pulse, speed) = (self.pulse.clone(), self.speed.clone());
        let rest = stream::unfold(Some(pack), move |pack| {
            let (pulse, speed) = (pulse.clone(), speed.clone());
            async move {
                let mut pack = pack?;
                let piece = pack.recv().await;
                if let Some(Some(bytes)) = &piece {
                    speed.moved(bytes.len()).await;
                }
                pulse.beat();
                match piece {
                    Some(Some(bytes)) => Some((Ok(bytes), Some(pack))),
                    Some(None) => None,
                    None => Some((Err(io::Error::other("the pack ended early")), None)),
                }
            }
        });
        Body::wrap_stream(stream::iter([Ok(Bytes::from(head))]).chain(rest))
    }
}
