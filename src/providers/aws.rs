//! Amazon EC2: `DescribeInstances` of each region, with `DescribeInstanceStatus` beside it.
//!
//! Paging ends when there is no `NextToken`; pages may be short or empty before that, and their
//! order is not stable (`aws-sdk-go-v2` `service/ec2/api_op_DescribeInstances.go`).
//! No type of the AWS SDK leaves this module.

mod explain;
mod map;
mod whole;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::config::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_ec2::operation::describe_instances::DescribeInstancesOutput;
use aws_sdk_ec2::{Client, config};
use aws_smithy_http_client::tls;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};

use self::explain::{chain_of, explain};
use super::wire::Tokens;
use super::{Health, ItemProblem, Page, Provider, ProviderError, ProviderErrorKind, Scope};
use crate::error::{Error, Result};
use crate::model::source::SourceType;

/// Instances (on AWS) or reservations (on moto) in one page: the most that AWS allows.
const PAGE: i32 = 1000;
/// Attempts of the SDK for one call, the first included.
const ATTEMPTS: u32 = 5;
/// Region that is asked for the list of regions when none is configured.
const HOME: &str = "us-east-1";

/// Which regions to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Regions {
    /// These.
    Named(Vec<String>),
    /// Every region that is enabled for the account.
    All,
    /// The one that the environment or the profile names.
    Configured,
}

/// How to reach EC2.
#[derive(Clone, Debug)]
pub struct AwsOptions {
    /// Which regions to list.
    pub regions: Regions,
    /// Profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Role to take on with these credentials, for example in another account.
    pub role: Option<Role>,
    /// Endpoint for every region without one of its own. None: what the AWS configuration says.
    pub endpoint: Option<String>,
    /// Endpoints of single regions, for example interface endpoints of a VPC.
    pub region_endpoints: BTreeMap<String, String>,
    /// Whether to ask for status checks and scheduled events.
    pub status_checks: bool,
}

/// A role that is taken on through STS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// The word that its trust policy asks for.
    pub external_id: Option<String>,
}

/// EC2 behind one set of credentials.
pub struct Aws {
    base: SdkConfig,
    options: AwsOptions,
}

impl Aws {
    /// Reads the AWS configuration and resolves credentials once, so that wrong ones are known
    /// before anything else is done.
    ///
    /// # Errors
    /// No region or no credentials: the exit code is for set-up.
    pub async fn connect(options: AwsOptions) -> Result<Self> {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        let app = AppName::new("inv-tui")
            .map_err(|cause| Error::new("cannot name this program to AWS").because(cause))?;
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http.clone())
            .app_name(app)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(Duration::from_secs(5))
                    .operation_attempt_timeout(Duration::from_secs(45))
                    .operation_timeout(Duration::from_mins(3))
                    .build(),
            );
        if let Some(profile) = &options.profile {
            loader = loader.profile_name(profile);
        }
        let mut base = loader.load().await;
        if let Some(profile) = &options.profile {
            // a profile that somebody names goes before keys in the environment, as with the AWS
            // command line; the default chain of the SDK asks the environment first
            let surroundings = ProviderConfig::default()
                .with_http_client(http)
                .with_region(base.region().cloned());
            let credentials = ProfileFileCredentialsProvider::builder()
                .configure(&surroundings)
                .profile_name(profile)
                .build();
            base = base
                .into_builder()
                .credentials_provider(SharedCredentialsProvider::new(credentials))
                .build();
        }
        if let Some(role) = &options.role {
            let mut assume = AssumeRoleProvider::builder(&role.arn).session_name("inv-tui");
            if let Some(id) = &role.external_id {
                assume = assume.external_id(id);
            }
            if base.region().is_none() {
                // STS of the partition that the regions are in
                let home = match &options.regions {
                    Regions::Named(names) => names.first().map_or(HOME, String::as_str),
                    _ => HOME,
                };
                assume = assume.region(Region::new(home.to_owned()));
            }
            let credentials = assume.configure(&base).build().await;
            base = base
                .into_builder()
                .credentials_provider(SharedCredentialsProvider::new(credentials))
                .build();
        }
        if options.regions == Regions::Configured && base.region().is_none() {
            return Err(Error::usage("no AWS region is named")
                .hint("name regions with --region, or all enabled ones with --all-regions, or set AWS_REGION"));
        }
        let this = Self { base, options };
        this.check_credentials().await?;
        Ok(this)
    }

    async fn check_credentials(&self) -> Result<()> {
        let place = match &self.options.profile {
            Some(profile) => format!("profile \"{profile}\""),
            None => "the environment, the AWS files or the instance".to_owned(),
        };
        if let Some(role) = &self.options.role {
            return self.check_role(role, &place).await;
        }
        let missing = || {
            Error::usage(format!("no AWS credentials from {place}")).hint(
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a --profile, or run \"aws sso login\"",
            )
        };
        let provider = self.base.credentials_provider().ok_or_else(missing)?;
        match provider.provide_credentials().await {
            Ok(_) => Ok(()),
            Err(cause) => Err(missing().because(chain_of(&cause))),
        }
    }

    async fn check_role(&self, role: &Role, place: &str) -> Result<()> {
        let refused = || {
            Error::usage(format!(
                "cannot take on role \"{}\" with the credentials from {place}",
                role.arn
            ))
            .hint(
                "the role must trust that identity, which needs sts:AssumeRole; check external-id",
            )
        };
        let provider = self.base.credentials_provider().ok_or_else(refused)?;
        match provider.provide_credentials().await {
            Ok(_) => Ok(()),
            Err(cause) => Err(refused().because(chain_of(&cause))),
        }
    }

    fn client(&self, region: &str) -> Client {
        let mut config = config::Builder::from(&self.base)
            .region(Region::new(region.to_owned()))
            .interceptor(whole::Whole);
        // not in the base: STS is not there
        let own = self.options.region_endpoints.get(region);
        if let Some(url) = own.or(self.options.endpoint.as_ref()) {
            config = config.endpoint_url(url);
        }
        Client::from_conf(config.build())
    }

    fn fixed_endpoint(&self, region: &str) -> bool {
        self.options.endpoint.is_some()
            || self.base.endpoint_url().is_some()
            || self.options.region_endpoints.contains_key(region)
    }

    async fn find_regions(&self) -> Result<Vec<Scope>, ProviderError> {
        let home = self.base.region().map_or(HOME, AsRef::as_ref);
        let answer = self.client(home).describe_regions().send().await.map_err(|cause| {
            explain("cannot list the AWS regions", home, self.fixed_endpoint(home), &cause)
        })?;
        let names: BTreeSet<String> =
            answer.regions().iter().filter_map(|r| r.region_name.clone()).collect();
        Ok(names.into_iter().map(|name| Scope { name, asked_for: false, whole: false }).collect())
    }

    /// What the status checks say, of the hosts of which they say anything.
    async fn health(
        &self,
        client: &Client,
        region: &str,
    ) -> Result<HashMap<String, Health>, ProviderError> {
        let mut found = HashMap::new();
        let mut token: Option<String> = None;
        let mut tokens = Tokens::default();
        loop {
            let answer = client
                .describe_instance_status()
                .max_results(PAGE)
                .set_next_token(token.clone())
                .send()
                .await
                .map_err(|cause| {
                    let what = format!("cannot read the status checks of region \"{region}\"");
                    explain(&what, region, self.fixed_endpoint(region), &cause)
                })?;
            found.extend(answer.instance_statuses().iter().filter_map(map::health));
            let next = answer.next_token.filter(|t| !t.is_empty());
            match next {
                None => return Ok(found),
                Some(next) if !tokens.take(&next) => return Err(repeated(region)),
                next => token = next,
            }
        }
    }

    async fn instances(
        &self,
        client: &Client,
        region: &str,
        token: Option<&str>,
    ) -> Result<DescribeInstancesOutput, ProviderError> {
        let request = client.describe_instances().max_results(PAGE);
        request.set_next_token(token.map(str::to_owned)).send().await.map_err(|cause| {
            let what = format!("cannot list the instances of region \"{region}\"");
            explain(&what, region, self.fixed_endpoint(region), &cause)
        })
    }

    async fn next_page(&self, listing: &mut Listing<'_>) -> Result<Option<Page>, ProviderError> {
        let mut page = Page::default();
        let (client, region) = (&listing.client, listing.region);
        let answer = match &listing.at {
            At::End => return Ok(None),
            At::Token(token) => self.instances(client, region, Some(token)).await?,
            At::Begin if self.options.status_checks => {
                let first = self.instances(client, region, None);
                let (answer, health) = tokio::join!(first, self.health(client, region));
                match health {
                    Ok(health) => listing.health = Some(health),
                    Err(problem) => page.notes.push(crate::error::chain(&problem)),
                }
                answer?
            }
            At::Begin => self.instances(client, region, None).await?,
        };
        for reservation in answer.reservations() {
            for instance in reservation.instances() {
                let account = reservation.owner_id();
                match map::observe(account, instance, listing.region, listing.health.as_ref()) {
                    Ok(host) => page.hosts.push(host),
                    Err(problem) => page.problems.push(problem),
                }
            }
        }
        listing.at = match answer.next_token.filter(|t| !t.is_empty()) {
            None => At::End,
            Some(next) if !listing.tokens.take(&next) => return Err(repeated(listing.region)),
            Some(next) => At::Token(next),
        };
        Ok(Some(page))
    }
}

enum At {
    Begin,
    Token(String),
    End,
}

struct Listing<'a> {
    client: Client,
    region: &'a str,
    health: Option<HashMap<String, Health>>,
    at: At,
    tokens: Tokens,
}

fn repeated(region: &str) -> ProviderError {
    ProviderError {
        kind: ProviderErrorKind::Other,
        error: Error::new(format!(
            "cannot list the instances of region \"{region}\": the endpoint sent the same page token twice"
        )),
    }
}

impl Provider for Aws {
    fn source_type(&self) -> SourceType {
        SourceType::AWS
    }

    fn name(&self) -> &'static str {
        "aws"
    }

    fn scopes(&self) -> BoxFuture<'_, Result<Vec<Scope>, ProviderError>> {
        let asked = |name: &str| Scope { name: name.to_owned(), asked_for: true, whole: false };
        match &self.options.regions {
            Regions::All => self.find_regions().boxed(),
            Regions::Named(names) => {
                let scopes = names.iter().map(|name| asked(name)).collect();
                async move { Ok(scopes) }.boxed()
            }
            Regions::Configured => {
                let scopes = self.base.region().iter().map(|r| asked(r.as_ref())).collect();
                async move { Ok(scopes) }.boxed()
            }
        }
    }

    fn list<'a>(&'a self, scope: &'a str) -> BoxStream<'a, Result<Page, ProviderError>> {
        let listing = Listing {
            client: self.client(scope),
            region: scope,
            health: None,
            at: At::Begin,
            tokens: Tokens::default(),
        };
        stream::try_unfold(listing, move |mut listing| async move {
            Ok(self.next_page(&mut listing).await?.map(|page| (page, listing)))
        })
        .boxed()
    }
}
