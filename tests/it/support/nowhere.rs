//! An address at which nobody answers.

use tokio::net::TcpSocket;

/// A port of this machine that is taken, so that no other process gets it, and at which nobody listens: whoever connects is
/// refused.
pub struct Nowhere(TcpSocket);

impl Nowhere {
    /// Takes one for as long as it lives.
    pub fn take() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        Nowhere(socket)
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("it is bound"))
    }
}
