//! Sockets that can be cut in the middle of a response: the layer between axum-server and TCP (or TLS).
//!
//! The handler of a request finds its connection by the peer's address and arms it before it answers.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Where a response is cut, counted in bytes before TLS.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Point {
    /// So many bytes from the beginning of the status line.
    Response(usize),
    /// So many bytes after the headers.
    Body(usize),
}

/// What happens at that point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Then {
    Close,
    Reset,
    Stall,
}

/// The fate of one connection's next bytes.
#[derive(Default)]
pub(super) struct Connection(Mutex<State>);

#[derive(Default)]
struct State {
    cut: Option<(Point, Then)>,
    progress: Progress,
    reset: bool,
}

/// How far the response has been written.
#[derive(Default, Clone, Copy)]
struct Progress {
    written: usize,
    body: usize,
    /// How much of CR LF CR LF has been seen; 4 in the body.
    ending: usize,
}

impl Progress {
    fn step(&mut self, byte: u8) {
        if self.ending == 4 {
            self.body += 1;
        } else if byte == b"\r\n\r\n"[self.ending] {
            self.ending += 1;
        } else {
            self.ending = usize::from(byte == b'\r');
        }
        self.written += 1;
    }

    fn reached(&self, point: Point) -> bool {
        match point {
            Point::Response(bytes) => self.written >= bytes,
            Point::Body(bytes) => self.ending == 4 && self.body >= bytes,
        }
    }
}

impl Connection {
    /// Lets everything through again: a new request has come.
    pub(super) fn disarm(&self) {
        self.state().cut = None;
    }

    /// Cuts the response that is now to be written.
    pub(super) fn arm(&self, point: Point, then: Then) {
        let mut state = self.state();
        state.cut = Some((point, then));
        state.progress = Progress::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder panics")
    }

    /// How many of these bytes may be written, or what happens instead when it is none.
    fn allowed(&self, bytes: &[u8]) -> Result<usize, Then> {
        let state = self.state();
        let Some((point, then)) = state.cut else { return Ok(bytes.len()) };
        let mut progress = state.progress;
        let mut allowed = 0;
        for byte in bytes {
            if progress.reached(point) {
                break;
            }
            progress.step(*byte);
            allowed += 1;
        }
        if allowed == 0 && !bytes.is_empty() { Err(then) } else { Ok(allowed) }
    }

    fn wrote(&self, bytes: &[u8]) {
        let mut state = self.state();
        if state.cut.is_some() {
            bytes.iter().for_each(|byte| state.progress.step(*byte));
        }
    }
}

/// The open connections by the address of the peer.
#[derive(Clone, Default)]
pub(super) struct Connections(Arc<Mutex<HashMap<SocketAddr, Arc<Connection>>>>);

impl Connections {
    /// The connection of a peer; a new one when the peer is new.
    pub(super) fn of(&self, peer: SocketAddr) -> Arc<Connection> {
        self.0.lock().expect("no holder panics").entry(peer).or_default().clone()
    }

    fn forget(&self, peer: SocketAddr) {
        self.0.lock().expect("no holder panics").remove(&peer);
    }
}

/// Next to the network: resets on close when told to.
#[derive(Clone)]
pub(super) struct SocketAcceptor {
    pub(super) connections: Connections,
    /// All bytes, both ways, as they go over the wire.
    pub(super) bytes: Arc<AtomicU64>,
}

impl<S: Send + 'static> Accept<TcpStream, S> for SocketAcceptor {
    type Stream = Socket;
    type Service = S;
    type Future = std::future::Ready<io::Result<(Socket, S)>>;

    fn accept(&self, tcp: TcpStream, service: S) -> Self::Future {
        let accepted = tcp.peer_addr().map(|peer| {
            // A small answer must not wait for the acknowledgement of the one before it.
            let _ = tcp.set_nodelay(true);
            let (connection, connections) = (self.connections.of(peer), self.connections.clone());
            (Socket { connection, connections, peer, tcp, bytes: self.bytes.clone() }, service)
        });
        std::future::ready(accepted)
    }
}

/// A TCP connection that leaves the list, and sends RST instead of FIN when told to, when it is closed.
pub(super) struct Socket {
    tcp: TcpStream,
    peer: SocketAddr,
    connection: Arc<Connection>,
    connections: Connections,
    bytes: Arc<AtomicU64>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.connection.state().reset {
            let _ = self.tcp.set_zero_linger();
        }
        self.connections.forget(self.peer);
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.tcp).poll_read(cx, buf);
        self.bytes.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.tcp).poll_write(cx, buf))?;
        self.bytes.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// Next to HTTP: counts the bytes of responses and stops at the point that was set.
#[derive(Clone)]
pub(super) struct CutAcceptor<A> {
    pub(super) inner: A,
    pub(super) connections: Connections,
}

impl<A, S> Accept<TcpStream, S> for CutAcceptor<A>
where
    A: Accept<TcpStream, S>,
    A::Future: Send + 'static,
    A::Stream: Send,
    A::Service: Send,
{
    type Stream = CutStream<A::Stream>;
    type Service = A::Service;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, tcp: TcpStream, service: S) -> Self::Future {
        let connection = tcp.peer_addr().map(|peer| self.connections.of(peer));
        let accepting = self.inner.accept(tcp, service);
        Box::pin(async move {
            let (inner, service) = accepting.await?;
            Ok((CutStream { inner, connection: connection? }, service))
        })
    }
}

pub(super) struct CutStream<S> {
    inner: S,
    connection: Arc<Connection>,
}

impl<S: AsyncRead + Unpin> AsyncRead for CutStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CutStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.connection.allowed(buf) {
            Ok(allowed) => {
                let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &buf[..allowed]))?;
                self.connection.wrote(&buf[..written]);
                Poll::Ready(Ok(written))
            }
            Err(then) => {
                // What came before the cut must arrive, through TLS too.
                ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
                match then {
                    // The client's leaving wakes the reading side, which ends the connection.
                    Then::Stall => return Poll::Pending,
                    Then::Reset => self.connection.state().reset = true,
                    Then::Close => {}
                }
                Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
