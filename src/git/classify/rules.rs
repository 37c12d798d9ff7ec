//! The tables. First match wins, the specific above the general.
//!
//! Each row cites the line it reads: `git 2.47`, `curl`, `ssh` are the programs on our side, else the server is named.
//! Absent on purpose: ssh's `Could not read from remote repository` (git prints it after any ssh failure),
//! `Everything up-to-date` (stands below failed pushes), `failed to push some refs`, and bare numbers.

use crate::base::failure::Reason::{self, *};

/// One row: the words, in one line, that tell a reason.
#[derive(Debug)]
pub(super) struct Rule {
    /// Parts of the line, divided by `*`, in their order.
    pub line: &'static str,
    /// Words that another line must hold as well.
    pub beside: Option<&'static str>,
    pub reason: Reason,
}

pub(super) const fn row(line: &'static str, reason: Reason) -> Rule {
    Rule { line, beside: None, reason }
}

pub(super) const fn row_beside(line: &'static str, beside: &'static str, reason: Reason) -> Rule {
    Rule { line, beside: Some(beside), reason }
}

/// Words of the programs on our side that leave no doubt. Not read in `remote:` lines.
pub(super) static LOCAL: &[Rule] = &[
    // --- this machine ---
    // strerror(): `fatal: unable to write loose object file: No space left on device`; inodes end the same way.
    row("No space left on device", DiskFull),
    row("Disk quota exceeded", DiskFull),
    row(": File too large", DiskFull),
    // `error: cannot open 'FETCH_HEAD': Read-only file system`
    row("Read-only file system", LocalFailed),
    // git 2.47, lockfile.c: `fatal: Unable to create '<dir>/shallow.lock': File exists.`
    row("Unable to create '*.lock': File exists", LocalLock),
    // git 2.47: `error: could not lock config file config: File exists`
    row("could not lock config file *: File exists", LocalLock),
    // git 2.47: `fatal: gc is already running on machine '<host>' pid 1 (use --force if not)`
    row("gc is already running on machine", LocalLock),
    // git 2.47, our own mirror owned by another user: `error: cannot open 'FETCH_HEAD': Permission denied`
    row("': Permission denied", LocalFailed),
    row("insufficient permission for adding an object to repository database", LocalFailed),
    // git 2.47: `fatal: cannot exec '/nonexistent': No such file or directory`, for ssh and for askpass. Above the login that
    // then fails: a broken installation is not a wrong token.
    row("fatal: cannot exec '", LocalFailed),
    // git 2.47: `git: 'remote-https' is not a git command. See 'git --help'.`: distributions package it apart.
    row("git: '*' is not a git command", LocalFailed),
    row("detected dubious ownership in repository at", LocalFailed),
    // git 2.47: `fatal: bad config line 9 in file ./config`
    row("fatal: bad config line ", LocalFailed),
    row("fatal: transport '*' not allowed", LocalFailed),
    row("fatal: cannot change to '", LocalFailed),
    row("fatal: destination path '*' already exists and is not an empty directory", LocalFailed),
    row("fatal: invalid refspec '", LocalFailed),
    // git 2.47, two refs of which one is short for the other's full name: `error: src refspec refs/heads/main matches more than one`
    row("error: src refspec * matches more than one", PushRejected),
    row("error: dst refspec * matches more than one", PushRejected),
    // git 2.47, run-command.c: the kernel's memory killer. index-pack is always ours; pack-objects is ours in a push.
    row("index-pack died of signal", LocalFailed),
    row_beside("pack-objects died of signal", "error: failed to push some refs", LocalFailed),
    // --- connections that look like TLS trouble and are none ---
    // curl with OpenSSL 3: `…:SSL routines::unexpected eof while reading, errno 0`; a cut connection.
    row("SSL routines::unexpected eof while reading", NetworkFailed),
    // curl with GnuTLS, in the handshake as well as later
    row("The TLS connection was non-properly terminated", NetworkFailed),
    // --- TLS ---
    // curl with OpenSSL: `SSL certificate problem: unable to get local issuer certificate`
    row("SSL certificate problem", TlsFailed),
    // curl with GnuTLS (Debian's git): `server certificate verification failed. CAfile: none CRLfile: none`
    row("server certificate verification failed", TlsFailed),
    row("SSL: certificate subject name*does not match target host name", TlsFailed),
    row("SSL: no alternative certificate subject name matches target host name", TlsFailed),
    row("Problem with the SSL CA cert", TlsFailed),
    row("error setting certificate file", TlsFailed),
    row("gnutls_handshake() failed", TlsFailed),
    row("with http.pinnedPubkey configuration: ", TlsFailed),
    // curl with OpenSSL: `error:0A00010B:SSL routines::wrong version number`; OpenSSL 1.1 has one colon.
    row("SSL routines:", TlsFailed),
    // --- ssh host keys ---
    row("Host key for * has changed and you have requested strict checking", HostKeyFailed),
    row("host key is known for * and you have requested strict checking", HostKeyFailed),
    row("Host key verification failed.", HostKeyFailed),
    row("WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED", HostKeyFailed),
    row("no matching host key type found", HostKeyFailed),
    // ssh: `Unable to negotiate with <ip> port 22: no matching key exchange method found. Their offer: …`
    row("Unable to negotiate with", LocalFailed),
    // --- credentials ---
    row("fatal: Authentication failed for '", AuthFailed),
    // git 2.47: `fatal: could not read Username for 'http://h': terminal prompts disabled`: there is no credential, or askpass
    // declined because the question was about another host.
    row("could not read Username for '", AuthFailed),
    row("could not read Password for '", AuthFailed),
    // ssh says which key it could not use only above the refusal.
    row_beside("Load key \"", "Permission denied (", AuthFailed),
    // curl 7.88, a client key that is encrypted or no key at all; with OpenSSL `unable to set private key file: '<file>' type PEM`
    // and `could not load PEM client certificate`, with GnuTLS `error reading X.509 key or certificate file: …`.
    row("unable to set private key file: ", AuthFailed),
    row("could not load PEM client certificate", AuthFailed),
    row("error reading X.509 key or certificate file: ", AuthFailed),
    row("Permission denied (", AuthFailed),
    row("Too many authentication failures", AuthFailed),
    row("The requested URL returned error: 401", AuthFailed),
    row("The requested URL returned error: 407", AuthFailed),
    // curl 7.88: `CONNECT tunnel failed, response 407`; before 7.87: `Received HTTP code 407 from proxy after CONNECT`
    row("CONNECT tunnel failed, response 407", AuthFailed),
    row("Received HTTP code 407 from proxy", AuthFailed),
    // git 2.47, http.c: two more lines say `asked for:` and `redirect:`. GitLab and Gitea send anonymous users to a page.
    row_beside("redirect: */sign_in", "unable to update url base from redirection", AuthFailed),
    row_beside("redirect: */login", "unable to update url base from redirection", AuthFailed),
    // --- the repository ---
    // git 2.47 on 404: `fatal: repository 'http://h/x.git/' not found`
    row("fatal: repository '*' not found", RemoteNotFound),
    row("' does not appear to be a git repository", RemoteNotFound),
    // git 2.47, clone from a path
    row("fatal: repository '*' does not exist", RemoteNotFound),
    row("The requested URL returned error: 410", RemoteNotFound),
    // The repository answers elsewhere and we may not follow: it was renamed.
    row("The requested URL returned error: 30", RemoteNotFound),
    row("unable to update url base from redirection", RemoteNotFound),
    row("The requested URL returned error: 451", Blocked),
    row("The requested URL returned error: 429", RateLimited),
    // git 2.54, http.c
    row("fatal: rate limited by '", RateLimited),
    row("error: response requested a delay greater than http.maxRetryTime", RateLimited),
    row("The requested URL returned error: 413", TooLarge),
    row("Maximum (*) redirects followed", ServerError),
    // --- silence ---
    // curl, http.lowSpeedLimit: `Operation too slow. Less than 1000 bytes/sec transferred the last 3 seconds`
    row("Operation too slow. Less than", TimedOut),
    // git: `…errno=Connection timed out`; ssh: `connect to host h port 22: Connection timed out`; curl: `Connection timed out after 5001 milliseconds`
    row("Connection timed out", TimedOut),
    // ssh, ServerAliveInterval: `Timeout, server h not responding.`
    row("Timeout, server * not responding", TimedOut),
    row("Timeout was reached", TimedOut),
    // --- no connection ---
    // curl: `Could not resolve host: h`, ssh: `Could not resolve hostname h: …`
    row("Could not resolve host", NetworkFailed),
    row("Could not resolve proxy", NetworkFailed),
    // git://: `fatal: unable to look up h (port 9418) (Name or service not known)`
    row("fatal: unable to look up ", NetworkFailed),
    // curl: `Failed to connect to h port 443 after 0 ms: Couldn't connect to server`
    row("Failed to connect to ", NetworkFailed),
    // git://, the line below `fatal: unable to connect to h:`
    row("]: errno=", NetworkFailed),
    row("ssh: connect to host ", NetworkFailed),
    // ssh before the login: `kex_exchange_identification: Connection closed by remote host`
    row("kex_exchange_identification: ", NetworkFailed),
    row("Empty reply from server", NetworkFailed),
    // --- refs that moved since we looked ---
    // No ref is the null id: the ref file at the server is empty.
    row("upload-pack: not our ref 0000000000000000", Corrupt),
    row("upload-pack: not our ref ", RefRace),
    row("Server does not allow request for unadvertised object", RefRace),
    row("couldn't find remote ref ", RefRace),
    row("fatal: Remote branch * not found in upstream", RefRace),
    row("error: src refspec * does not match any", RefRace),
    row("remote ref does not exist", RefRace),
    row("cannot lock ref '*': is at * but expected", RefRace),
    row("cannot lock ref '*': reference is missing but expected", RefRace),
    row("cannot lock ref '*': reference already exists", RefRace),
    // `feature` became `feature/x`: gone when the old ref is deleted first.
    row("' exists; cannot create '", RefRace),
    row("[rejected]*(stale info)", RefRace),
    row("[rejected]*(remote ref updated since checkout)", RefRace),
    // --- damage ---
    row("': reference broken", Corrupt),
    // git 2.47, a ref file that vanished between listing and locking.
    row("cannot lock ref '*': unable to resolve reference '", RefRace),
    row("fatal: bad object ", Corrupt),
    row("did not send all necessary objects", Corrupt),
    row("error: *: invalid sha1 pointer ", Corrupt),
    row("error: packfile * does not match index", Corrupt),
    row("pack checksum mismatch", Corrupt),
    row("error: inflate: data stream error", Corrupt),
    row("fatal: pack has bad object at offset ", Corrupt),
    // git 2.47, index-pack: what came is not what its sender summed up, or builds upon what is nowhere to be read.
    row("fatal: pack is corrupted (SHA", Corrupt),
    row("fatal: pack has * unresolved delta", Corrupt),
    row("fatal: did not receive expected object ", Corrupt),
    row("fatal: bad tree object ", Corrupt),
    row("fatal: object * not found", Corrupt),
    row("error: object file * is empty", Corrupt),
    row("fatal: loose object * is corrupt", Corrupt),
    // git fsck says these on stdout.
    row("broken link from ", Corrupt),
    row("missing blob ", Corrupt),
    row("missing tree ", Corrupt),
    row("missing commit ", Corrupt),
    // We run git in our mirrors only: the place is there and is no repository. An empty HEAD is enough.
    row("fatal: not a git repository", Corrupt),
    row("does not look like a v2 or v3 bundle file", Corrupt),
    row("error: Repository lacks these prerequisite commits", Corrupt),
    // git 2.47, bundle.c: nothing else says `index-pack died` without a signal.
    row("error: index-pack died", Corrupt),
    // --- refused refs: git 2.47, send-pack.c and receive-pack.c ---
    row("[rejected]*(non-fast-forward)", Diverged),
    row("[rejected]*(fetch first)", Diverged),
    row("[rejected]*(needs force)", Diverged),
    row("[rejected]*(already exists)", Diverged),
    row("[rejected]*(would clobber existing tag)", Diverged),
    // receive.hideRefs: GitHub's refs/pull, GitLab's refs/merge-requests
    row("[remote rejected]*(deny updating a hidden ref)", ProtectedRefRejected),
    row("[remote rejected]*(deletion prohibited)", ProtectedRefRejected),
    row("[remote rejected]*(deletion of the current branch prohibited)", ProtectedRefRejected),
    row("[remote rejected]*(branch is currently checked out)", ProtectedRefRejected),
    // With `remote`: receive.denyNonFastForwards, a rule of theirs even for a forced push.
    row("[remote rejected]*(non-fast-forward)", ProtectedRefRejected),
    // GitHub
    row("[remote rejected]*(refusing to delete the current branch", ProtectedRefRejected),
    row("[remote rejected]*(refusing to allow a*to create or update workflow", Forbidden),
    row("[remote rejected]*(push declined due to a detected secret", SecretBlocked),
    // Azure DevOps
    row("[remote rejected]*(The current action can only be performed by the system", ProtectedRefRejected),
    row("[remote rejected]*(TF402455: ", ProtectedRefRejected),
    row("[remote rejected]*(TF401027: ", Forbidden),
    row("[remote rejected]*(TF401028: ", RefRace),
    row("[remote rejected]*(VS403654: ", SecretBlocked),
    // GitBucket
    row("[remote rejected]*(Cannot force-push to a protected branch", ProtectedRefRejected),
    row("[remote rejected]*(You do not have permission to push to this branch", ProtectedRefRejected),
    row("[remote rejected]*(*equired status check", ProtectedRefRejected),
    // Gerrit: `(prohibited by Gerrit: project state does not permit write)`, `(prohibited by Gerrit: not permitted: force update)`
    row("[remote rejected]*project state does not permit write", Archived),
    row("[remote rejected]*(prohibited by Gerrit", Forbidden),
    row("[remote rejected]*(must be either project owner or have ", Forbidden),
    row("[remote rejected]*(NoteDb update requires access database permission", Forbidden),
    row("[remote rejected]*(cannot delete changes", ProtectedRefRejected),
    row("[remote rejected]*(cannot delete project configuration", ProtectedRefRejected),
    row("[remote rejected]*(creation prohibited", ProtectedRefRejected),
    row("[remote rejected]*(too many commits", TooLarge),
    row("[remote rejected]*(more than * commits, and ", TooLarge),
    row("[remote rejected]*nternal server error", ServerError),
    row("[remote rejected]*(server bug; ref not processed", ServerError),
    row("[remote rejected]*(internal error while processing changes", ServerError),
    // AWS CodeCommit
    row("Too many reference update commands", TooLarge),
    // git 2.47, receive-pack.c and refs.c
    row("[remote rejected]*(unable to migrate objects to permanent storage", ServerError),
    row("[remote rejected]*(transaction failed to start", ServerError),
    row("[remote rejected]*(fail to run proc-receive hook", ServerError),
    row("[remote rejected]*(proc-receive failed to report status", ServerError),
    row("[remote rejected]*(Invalid denyDeleteCurrent setting", ServerError),
    row("[remote rejected]*(incorrect old value provided", RefRace),
    row("[remote rejected]*(reference already exists", RefRace),
    row("[remote rejected]*(reference does not exist", RefRace),
    row("[remote rejected]*(failed to lock", RefRace),
    row("[remote rejected]*(missing necessary objects", Corrupt),
    row("[remote rejected]*(Up-to-date check failed", ProtectedRefRejected),
    row("[remote rejected]*(Working directory has ", ProtectedRefRejected),
    row("[remote rejected]*(Could not update working tree to new HEAD", ProtectedRefRejected),
    row("[remote rejected]*(denyCurrentBranch = updateInstead needs a worktree", ProtectedRefRejected),
    row("[remote rejected]*(funny refname)", PushRejected),
    row("[remote rejected]*(shallow update not allowed)", PushRejected),
    row("the receiving end does not support this repository's hash algorithm", PushRejected),
];

/// Words that tell little, read last. Not read in `remote:` lines.
pub(super) static VAGUE: &[Rule] = &[
    // --- refused refs whose cause only the server knows ---
    // git 2.47: `error: remote unpack failed: unpack-objects abnormal exit`, and the ref's `(unpacker error)`
    row("error: remote unpack failed: ", ServerError),
    row("[remote rejected]*(unpacker error)", ServerError),
    // GitHub, protected branches and rule sets
    row("[remote rejected]*(protected branch hook declined)", ProtectedRefRejected),
    row("[remote rejected]*(push declined due to repository rule violations)", ProtectedRefRejected),
    row("[remote rejected]", PushRejected),
    row("[rejected]", PushRejected),
    // --- HTTP ---
    row("The requested URL returned error: 403", Forbidden),
    // git 2.47, of a repository that vanished since it was looked at: `error: RPC failed; HTTP 404 curl 22 The requested URL …`
    row("The requested URL returned error: 404", RemoteNotFound),
    row("The requested URL returned error: 5", ServerError),
    row("CONNECT tunnel failed, response ", NetworkFailed),
    // --- not git's protocol ---
    // git 2.47, a web page: `fatal: http://h/x.git/info/refs not valid: is this a git repository?`
    row("info/refs not valid: ", ServerError),
    // git 2.47, of a fetch: what should be refs are none, so it takes the server for one of plain files, and finds none there.
    row("error: Unable to find * under http", ServerError),
    // --- connections cut in the middle; the line with the cause first ---
    row("error: RPC failed; curl ", NetworkFailed),
    // git 2.47: `fatal: protocol error: bad line length character: Welc`, a shell start file that prints. Below the row
    // above: of a pack cut early git says `protocol error: bad pack header` as well.
    row("protocol error: ", ServerError),
    // curl 7.88, in the answer to git's first request: `fatal: unable to access '<url>': transfer closed with …`
    row("transfer closed with outstanding read data remaining", NetworkFailed),
    row("transfer closed with * bytes remaining to read", NetworkFailed),
    row("Connection reset by peer", NetworkFailed),
    row("Connection closed by ", NetworkFailed),
    row("Broken pipe", NetworkFailed),
    // curl with OpenSSL: `OpenSSL SSL_read: SSL_ERROR_SYSCALL, errno 104`
    row("SSL_ERROR_SYSCALL", NetworkFailed),
    row("GnuTLS recv error", NetworkFailed),
    // curl: `HTTP/2 stream 7 was not closed cleanly: CANCEL (err 8)`
    row("was not closed cleanly", NetworkFailed),
    row("bytes of body are still expected", NetworkFailed),
    // git 2.47, also when a hook or a crash ends the server's side
    row("the remote end hung up", NetworkFailed),
    row("unexpected disconnect while reading sideband packet", NetworkFailed),
    row("fatal: early EOF", NetworkFailed),
    // git 2.47, connect.c and remote-curl.c: an answer that ended early, at its list of abilities or behind what was asked for.
    row("fatal: expected flush after capabilities", NetworkFailed),
    row("expected response end packet", NetworkFailed),
    row("fatal: expected flush after ref listing", ServerError),
    row("bytes of length header were received", NetworkFailed),
    row("fatal: The remote end hung up", NetworkFailed),
    row("fatal: invalid ls-refs response: ", ServerError),
    row("fatal: invalid server response; got '", ServerError),
    row("fatal: unable to connect to ", NetworkFailed),
    // git 2.47, fetch-pack.c: the answer to the request for objects is something else, or ended before it began.
    row("fatal: expected '*', received '", ServerError),
    row("fatal: expected 'acknowledgments'", NetworkFailed),
    row("fatal: expected 'packfile'", NetworkFailed),
    // git 2.47: index-pack ended without a word, e.g. killed for its memory or file size
    row("fatal: fetch-pack: invalid index-pack output", LocalFailed),
    // git asks on a terminal and nobody is there
    row("Username for '", AuthFailed),
    row("Password for '", AuthFailed),
];
