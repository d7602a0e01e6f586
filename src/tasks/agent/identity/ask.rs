//! Asks for a certificate and waits for it.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestSpec,
};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::Cluster;
use kube::runtime::{WatchStreamExt, watcher};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData};
use tokio::sync::watch;

use super::Options;
use super::files::{Certificate, Pending, Stored};
use crate::error::{Error, Result, chain};
use crate::model::csr::{CLIENT_SIGNER, HOSTS, Request, State};
use crate::store::client::{AGENT, Connection, DEADLINE, call, explain};

/// Between two lines that say what is waited for.
const SAY: Duration = Duration::from_mins(1);
/// After a denial, and after a signer that would not sign.
const AFTER_DENIAL: Duration = Duration::from_hours(1);
/// After a request that has gone undecided.
const AFTER_LOSS: Duration = Duration::from_secs(10);
/// First and longest pause between two tries to reach the server.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// Shortest life that the API lets one ask for.
const SHORTEST: Duration = Duration::from_mins(10);

/// With which credentials a certificate is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    First,
    Renewal,
}

impl Asked {
    fn as_str(self) -> &'static str {
        match self {
            Self::First => "bootstrap",
            Self::Renewal => "renewal",
        }
    }
}

/// A certificate and its key, not yet in force. It has no `Debug`: it must not get into a log.
pub(super) struct Issued {
    certificate: String,
    key: String,
}

impl Issued {
    /// Puts it in force: from here on it is the identity of this host.
    pub(super) fn store(self, options: &Options, cluster: Cluster) -> Result<Stored> {
        let stored = Stored::write(options, cluster, &self.certificate, &self.key)?;
        Pending::remove(options)?;
        Ok(stored)
    }
}

/// How the wait for one request ended.
enum Ended {
    Issued(String),
    /// It was denied, or the signer would not sign; why.
    Refused(String),
    /// It is gone: nobody decided for a day, or somebody removed it.
    Gone,
    Stopped,
}

/// Asks for a certificate until there is one. None: a stop was asked for.
pub(super) async fn ask(
    connection: &Connection,
    options: &Options,
    asked: Asked,
    mut stop: watch::Receiver<bool>,
) -> Result<Option<Issued>> {
    loop {
        let pending = pending(options, asked)?;
        let mut wait = AFTER_DENIAL;
        match one(connection, options, &pending, &mut stop).await {
            Ended::Issued(certificate) => match fits(options, &pending, &certificate) {
                Ok(()) => return Ok(Some(Issued { certificate, key: pending.key })),
                Err(problem) => {
                    tracing::error!(request = pending.name, error = chain(&problem), "not usable");
                    Pending::remove(options)?;
                }
            },
            Ended::Refused(why) => {
                Pending::remove(options)?;
                tracing::error!(
                    request = pending.name,
                    why,
                    "no certificate; asks again in an hour, or after a restart"
                );
            }
            Ended::Gone => {
                Pending::remove(options)?;
                tracing::warn!(
                    request = pending.name,
                    "the request is gone; makes another one soon"
                );
                wait = AFTER_LOSS;
            }
            Ended::Stopped => return Ok(None),
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
        }
    }
}

/// The request that waits already, else one for a new key. It is on disk before anybody is asked.
pub(super) fn pending(options: &Options, asked: Asked) -> Result<Pending> {
    let user = options.user();
    let known = Pending::read(options)?;
    if let Some(known) = known.filter(|p| p.asked == asked.as_str() && p.user == user) {
        return Ok(known);
    }
    let fail = |cause: rcgen::Error| Error::new("cannot make a key").because(cause);
    let key = KeyPair::generate().map_err(fail)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user.as_str());
    params.distinguished_name.push(DnType::OrganizationName, HOSTS);
    let request = params.serialize_request(&key).and_then(|request| request.pem()).map_err(fail)?;
    let name = format!("{}-{}-{:08x}", options.namespace, options.host, fastrand::u32(..));
    let pending =
        Pending { name, asked: asked.as_str().to_owned(), user, request, key: key.serialize_pem() };
    pending.write(options)?;
    Ok(pending)
}

/// Whether the certificate is the one that was asked for.
fn fits(options: &Options, pending: &Pending, certificate: &str) -> Result<()> {
    let issued = Certificate::read(certificate.as_bytes())
        .ok_or_else(|| Error::new("the signer gave a certificate that cannot be read"))?;
    let key = KeyPair::from_pem(&pending.key)
        .map_err(|cause| Error::new("the key that was kept cannot be read").because(cause))?;
    if issued.user != options.user() || issued.key != key.subject_public_key_info() {
        return Err(Error::new("the signer gave a certificate for another name or another key"));
    }
    Ok(())
}

/// Files one request, if the server does not have it yet, and waits for its end.
async fn one(
    connection: &Connection,
    options: &Options,
    pending: &Pending,
    stop: &mut watch::Receiver<bool>,
) -> Ended {
    let api: Api<CertificateSigningRequest> = Api::all(connection.client.clone());
    let (mut pause, longest) = RETRY;
    while let Err(problem) = file(&api, options, pending).await {
        let hint = problem.next_step();
        tracing::warn!(error = chain(&problem), hint, "cannot ask for a certificate yet");
        let jitter = fastrand::f64().mul_add(0.2, 0.9);
        tokio::select! {
            () = tokio::time::sleep(pause.mul_f64(jitter)) => {}
            _ = stop.wait_for(|stop| *stop) => return Ended::Stopped,
        }
        pause = (pause * 2).min(longest);
    }
    let config = watcher::Config::default().fields(&format!("metadata.name={}", pending.name));
    let mut stream = watcher(api, config).default_backoff().boxed();
    let mut say = tokio::time::interval(SAY);
    let mut there = false;
    loop {
        let event = tokio::select! {
            event = stream.next() => event,
            _ = say.tick() => {
                tracing::info!(
                    request = pending.name,
                    user = pending.user,
                    "waits for approval; inv-tui --headless csr approve {}", pending.name
                );
                continue;
            }
            _ = stop.wait_for(|stop| *stop) => return Ended::Stopped,
        };
        match event {
            Some(Ok(watcher::Event::Init)) => there = false,
            Some(Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object))) => {
                there = true;
                if object.spec.request.0 != pending.request.as_bytes() {
                    return Ended::Gone; // the name is taken
                }
                if let Some(ended) = look(&object) {
                    return ended;
                }
            }
            Some(Ok(watcher::Event::InitDone)) if there => {}
            Some(Ok(watcher::Event::InitDone | watcher::Event::Delete(_))) | None => {
                return Ended::Gone;
            }
            Some(Err(problem)) => {
                tracing::warn!(
                    request = pending.name,
                    error = chain(&problem),
                    "cannot look at it"
                );
            }
        }
    }
}

fn look(object: &CertificateSigningRequest) -> Option<Ended> {
    let decoded = Request::decode(object);
    let about = match &decoded {
        Ok(request) => &request.about,
        Err(problem) => &problem.about,
    };
    match about.state {
        State::Pending | State::Approved => None,
        State::Denied | State::Failed => {
            let decision = about.decision.as_ref();
            let why = decision.map(|d| format!("{}: {}", d.reason, d.message)).unwrap_or_default();
            Some(Ended::Refused(format!("{}: {why}", about.state.as_str().to_lowercase())))
        }
        State::Issued => {
            let pem = object.status.as_ref()?.certificate.as_ref()?;
            Some(Ended::Issued(String::from_utf8_lossy(&pem.0).into_owned()))
        }
    }
}

/// Makes the request; one that is there already, from before a restart, is fine.
async fn file(
    api: &Api<CertificateSigningRequest>,
    options: &Options,
    pending: &Pending,
) -> Result<()> {
    let seconds = options.life.max(SHORTEST).as_secs();
    let object = CertificateSigningRequest {
        metadata: ObjectMeta { name: Some(pending.name.clone()), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            request: ByteString(pending.request.clone().into_bytes()),
            signer_name: CLIENT_SIGNER.to_owned(),
            usages: Some(vec!["digital signature".to_owned(), "client auth".to_owned()]),
            expiration_seconds: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    };
    let (what, needs) =
        ("cannot create a certificate request", "create certificatesigningrequests");
    let params = PostParams { field_manager: Some(AGENT.to_owned()), ..PostParams::default() };
    let create = async {
        match api.create(&params, &object).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Ok(())),
            Err(cause @ kube::Error::Api(_)) => Ok(Err(explain(what, needs, cause))),
            made => made.map(|_| Ok(())),
        }
    };
    call(what, needs, DEADLINE, create).await?
}
