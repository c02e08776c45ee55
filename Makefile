# Everything a contributor runs. `make` lists it. Versions are pinned in go.mod and hack/tools/*/go.mod,
# never here; nothing is installed outside bin/ and the user's caches.

IMAGE_NAME := ghcr.io/delos-financial/clientbinding-operator
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT     ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
IMG        ?= $(IMAGE_NAME):$(VERSION)
PLATFORMS  ?= linux/amd64,linux/arm64
LDFLAGS    := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
# Helm wants a semantic version, which a commit without a tag has not.
CHART_VERSION := $(if $(filter v%,$(VERSION)),$(VERSION:v%=%),0.0.0-g$(VERSION))

# Of the commit and not of now, so that the same commit makes the same files.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

TOOL           := go tool -modfile=hack/tools/generate/go.mod
CONTROLLER_GEN := $(TOOL) controller-gen
KUSTOMIZE      := $(TOOL) kustomize
SITE_TOOL      := go tool -modfile=hack/tools/site/go.mod
GOLANGCI_LINT  := bin/golangci-lint
HELM           := bin/helm

# What the tests need beside an API server: the controllers that empty a deleted namespace. Nobody offers it
# for download; it is built once.
CONTROLLERS := kube-controller-manager

.DEFAULT_GOAL := help

##@ Develop

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: generate
generate: manifests ## Write the generated files: deepcopy code, CRDs, roles, Argo CD's forms, parts of the chart, tables of fields
	$(CONTROLLER_GEN) object paths=./api/...
	go run -C hack/tools/dashboard . $(CURDIR)/config/grafana/dashboard.json
	go run ./hack/generate
	@$(foreach kind,ClientBinding APIConnection,$(call fields,$(kind),docs/$(shell echo $(kind) | tr A-Z a-z).md) &&) true

# fields writes the tables of a kind's fields between two lines of its page.
fields = $(SITE_TOOL) crd-ref-docs --log-level=ERROR --source-path=api --config=hack/site/fields/config.yaml --templates-dir=hack/site/fields \
	--renderer=markdown --template-value=kind=$(1) --output-path=$(2).fields && \
	awk 'FNR == NR { fields = fields $$0 "\n"; next } /^<!-- end of fields/ { within = 0 } !within { print } \
		/^<!-- fields:/ { printf "%s\n", fields; within = 1 }' $(2).fields $(2) >$(2).new && mv $(2).new $(2) && rm $(2).fields

.PHONY: manifests
manifests: need-go ## Write only the CRDs and roles
	$(CONTROLLER_GEN) crd paths=./api/... output:crd:artifacts:config=config/crd/bases
	go run ./hack/generate config/crd/bases/*.yaml
	$(CONTROLLER_GEN) rbac:roleName=clientbinding-operator paths=./internal/controller/... \
		output:rbac:artifacts:config=config/rbac
	$(CONTROLLER_GEN) rbac:roleName=clientbinding-operator paths=./internal/controller/... \
		output:rbac:artifacts:config=config/namespaced/tenant

# Compares with the files before, and not with the last commit, so that you can use it before a commit.
.PHONY: check-generated
check-generated: need-go ## Fail, with a diff, if `make generate` or `go mod tidy` changes anything
	@before=$$(mktemp -d) && trap 'rm -rf "$$before"' EXIT && cp -R api config charts docs "$$before" && \
	$(MAKE) --no-print-directory generate || exit 1; \
	for dir in api config charts docs; do \
		diff -ruN "$$before/$$dir" "$$dir" || stale=yes; \
	done; \
	if [ "$$stale" ]; then echo "Generated files were out of date; they are written now, commit them." >&2; exit 1; fi
	go mod tidy -diff

.PHONY: fmt
fmt: need-go ## Format the Go code
	go fmt ./...

.PHONY: vet
vet: need-go ## Find common mistakes quickly; lint does this and more
	go vet ./...

.PHONY: lint
lint: need-go $(GOLANGCI_LINT) ## Check style, mistakes, API conventions and the imports between packages
	$(GOLANGCI_LINT) run

# One binary of golangci-lint with the Kubernetes API linter compiled in. Make builds it again when
# its module changes. With an empty cache this takes minutes.
$(GOLANGCI_LINT): hack/tools/lint/go.mod hack/tools/lint/go.sum
	@echo "Building golangci-lint, which takes some minutes the first time"
	go build -C hack/tools/lint -o $(CURDIR)/$@ sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter
	@touch $@

.PHONY: test
test: need-go need-cc ## Run all tests with the race detector, against a real API server
	@assets=$$(go run ./hack/controlplane --with=$(CONTROLLERS)) || exit 1; \
	echo "KUBEBUILDER_ASSETS=$$assets go test -race -timeout 30m ./..."; \
	KUBEBUILDER_ASSETS="$$assets" go test -race -timeout 30m ./...

# The flags are those of the build of Helm. vet would read all of Helm.
.PHONY: test-chart
test-chart: need-go ## Test the chart with Helm's own packages: its rendering, and install, upgrade and uninstall on a real API server
	@assets=$$(go run ./hack/controlplane) || exit 1; \
	KUBEBUILDER_ASSETS="$$assets" CGO_ENABLED=0 GOWORK=off go -C hack/tools/helm test -mod=readonly -vet=off -trimpath -count=1 ./...

FUZZTIME ?= 5s

.PHONY: fuzz
fuzz: need-go ## Give hostile answers to the API client, FUZZTIME for each kind
	@for target in $$(go test -list '^Fuzz' ./internal/delos | grep '^Fuzz'); do \
		go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) ./internal/delos || exit 1; \
	done

SOAK_FOR   ?= 10m
SOAK_STEPS ?= 300

# Without the race detector: the walks test sequences of events, and not concurrency.
.PHONY: soak
soak: need-go ## Run random walks of the controller, SOAK_STEPS each, for SOAK_FOR; each prints its seed
	@assets=$$(go run ./hack/controlplane) || exit 1; \
	KUBEBUILDER_ASSETS="$$assets" go test ./internal/controller -run '^TestModel$$' -count=1 -v -timeout 0 \
		-args -model.for=$(SOAK_FOR) -model.steps=$(SOAK_STEPS)

.PHONY: explore
explore: need-go ## Visit all states of the model of one relation, then show that it notices mistakes (ARGS=--document)
	@go build -buildvcs=false -o bin/explore ./hack/explore
	@bin/explore $(ARGS)

# Not with `go run`, which ends at a SIGTERM without passing it on, so that the demo would go on.
.PHONY: demo
demo: need-go ## Run API server, simulated API, operator and samples, to try them (ONCE=1: check and stop)
	@go build -buildvcs=false -o bin/demo ./hack/demo
	@bin/demo $(if $(ONCE),--once)

.PHONY: page
page: need-go need-chromium ## Test the plugin's HTML report in Chromium (ARGS="-screenshots DIRECTORY": take pictures)
	@assets=$$(go run ./hack/controlplane) || exit 1; \
	KUBEBUILDER_ASSETS="$$assets" go test -tags browser -count=1 ./internal/plugin -run TestPageInBrowser -args $(ARGS)

# Cold, Hugo is built in a minute or two.
bin/hugo: hack/tools/site/go.mod hack/tools/site/go.sum | need-go
	@echo "Building Hugo, which takes some minutes the first time"
	CGO_ENABLED=0 go build -C hack/tools/site -trimpath -ldflags "-s -w" -o $(CURDIR)/$@ github.com/gohugoio/hugo
	@touch $@

.PHONY: site
site: bin/hugo ## Build the documentation site into dist/site; it needs no network and no server
	@rm -rf dist/site
	bin/hugo --source . --config hack/site/hugo.yaml --noBuildLock --quiet

.PHONY: test-site
test-site: site need-chromium ## Build the site, follow its links, open its pages in Chromium (ARGS="-screenshots DIRECTORY": take pictures)
	go test -tags site -count=1 ./docs -run TestSite -args $(ARGS)

.PHONY: diagrams
diagrams: need-go need-chromium ## Draw the Mermaid diagrams of docs/ for the site, after a change; fetches Mermaid with npm
	go run ./hack/diagrams hack/site/assets/diagrams

.PHONY: metrics
metrics: need-go need-prometheus ## Let a Prometheus scrape the operator, and compare alerts and dashboard with the true state (ARGS="-record FILE")
	promtool check rules config/prometheus/rules.yaml
	promtool test rules test/metrics/alerts.yaml
	@assets=$$(go run ./hack/controlplane) || exit 1; \
	KUBEBUILDER_ASSETS="$$assets" go test -tags metrics -count=1 -timeout 5m ./test/metrics $(if $(ARGS),-args $(ARGS))

SERIES := $(CURDIR)/bin/dashboard-series.json

.PHONY: picture
picture: ## Run the scenario of `make metrics`, and draw docs/images/dashboard.png from the series of Prometheus
	@mkdir -p bin
	$(MAKE) metrics ARGS="-record $(SERIES)"
	go run -C hack/tools/dashboard ./picture $(CURDIR)/config/grafana/dashboard.json $(SERIES) $(CURDIR)/docs/images/dashboard.png

# The scripts come first, with Argo CD's own interpreter. The flags are those of the build of Argo CD, so that both
# share compiled packages. vet would read all of Argo CD, for minutes. That module needs a newer
# Go, which is downloaded like a module.
.PHONY: e2e-argocd
e2e-argocd: need-go need-redis ## Test config/argocd and the operator with the real Argo CD (RUN=TestRemoval: one test; the first run builds Argo CD)
	@argocd=$$(go run ./hack/argocd) && echo "Argo CD is in $$argocd"
	CGO_ENABLED=0 GOTOOLCHAIN=auto GOWORK=off go -C hack/tools/argocd test -mod=readonly -vet=off -trimpath -count=1 ./...
	go test -tags argocd ./test/argocd -count=1 -v -timeout 30m $(if $(RUN),-run '$(RUN)') $(if $(SHOW),-args -show)

# Without Docker it needs root, containerd and its tools. The tests name missing programs.
.PHONY: test-e2e
test-e2e: need-go ## Test image and chart in a cluster that runs pods: kind, or without Docker its own cluster (RUN=TestUpgrade)
	go test -tags e2e -count=1 -timeout 30m -p 1 ./internal/sandbox/node ./test/cluster $(if $(RUN),-run '$(RUN)')

.PHONY: measure
measure: need-go ## Measure and write the tables of docs/high-availability.md, in ten minutes
	go test -tags e2e,measure -count=1 -v -timeout 30m ./test/cluster -run 'TestAvailability|TestMemory' -args -update

.PHONY: bench
bench: need-go ## Test the operator under load and beside neighbours in trouble, in minutes (SHORT=1: smaller, with the same checks; SCENARIOS="neighbours …")
	@go build -buildvcs=false -o bin/bench ./hack/bench
	@bin/bench $(if $(SHORT),--short) $(SCENARIOS)

.PHONY: nightly
nightly: need-go ## Run the tests that take too long for each change, in hours: explore, soak, fuzz, adopt, bench, measure, release (ONLY="soak bench")
	ONLY="$(ONLY)" .ci/nightly

RUNS ?= 1

.PHONY: scale
scale: need-go ## Measure and write docs/scale.md, in a quarter of an hour (RUNS=3: medians; SCENARIOS="restart drift": a part)
	@go build -buildvcs=false -o bin/bench ./hack/bench
	@bin/bench --runs=$(RUNS) --document $(or $(SCENARIOS),writes scale memory restart drift fair)

.PHONY: controlplane
controlplane: need-go ## Find, download or build the control plane of the tests; print its directory
	@go run ./hack/controlplane --with=$(CONTROLLERS)

.PHONY: build
build: need-go ## Build the operator into bin/
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o bin/clientbinding-operator .

.PHONY: image
image: bin/image ## Build the image IMG without a container engine into dist/image.tar (PLATFORMS=linux/amd64 PUSH=1)
	@mkdir -p dist
	bin/image --image=$(IMG) --platforms=$(PLATFORMS) --commit=$(COMMIT) --time=$(SOURCE_DATE_EPOCH) --ldflags="$(LDFLAGS)" \
		--archive=dist/image.tar $(if $(PUSH),--push) >dist/image.txt
	@cat dist/image.txt

bin/image: hack/tools/image/main.go hack/tools/image/go.mod hack/tools/image/go.sum | need-go
	go build -C hack/tools/image -buildvcs=false -o $(CURDIR)/$@ .

# With an empty cache this takes minutes. The flags are those of the build of the control plane, so that both share compiled packages.
$(HELM): hack/tools/helm/go.mod hack/tools/helm/go.sum | need-go
	@echo "Building Helm, which takes some minutes the first time"
	CGO_ENABLED=0 go build -C hack/tools/helm -trimpath -ldflags "-s -w" -o $(CURDIR)/$@ helm.sh/helm/v4/cmd/helm
	@touch $@

# The engine is the first one that works: a client of Docker without its daemon does not.
ENGINE ?= $(shell for engine in docker podman buildah; do $$engine info >/dev/null 2>&1 && echo $$engine && break; done)

.PHONY: docker-build
docker-build: need-engine ## Build the image IMG from the Dockerfile, with Docker, Podman or Buildah (ENGINE=…)
	$(ENGINE) build --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) --build-arg SOURCE_DATE_EPOCH --tag $(IMG) .

.PHONY: docker-push
docker-push: need-engine ## Push the image IMG that docker-build has built
	$(ENGINE) push $(IMG)

.PHONY: docker-buildx
docker-buildx: ## Build the image IMG for all PLATFORMS from the Dockerfile, with Docker's buildx, and push it
	@$(call need,docker,or use `make image PUSH=1`, which needs no container engine)
	docker buildx build --platform $(PLATFORMS) --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) --build-arg SOURCE_DATE_EPOCH \
		--tag $(IMG) --push .

.PHONY: build-installer
build-installer: need-go dist/deploy/kustomization.yaml ## Write dist/install.yaml: CRDs and operator, with the image IMG
	$(KUSTOMIZE) build dist/deploy >dist/install.yaml

.PHONY: chart
chart: $(HELM) ## Package the chart into dist/, for the image with the tag VERSION
	$(HELM) package charts/clientbinding-operator --version $(CHART_VERSION) --app-version $(VERSION) --destination dist

##@ Release

RELEASE_TOOL := go tool -modfile=hack/tools/release/go.mod

# Only CI publishes: this needs a tag, the rights to registry and repository, and an identity for cosign.
.PHONY: release
release: clean-release image build-installer chart ## Write all parts of a release into dist/, and publish nothing (the first run builds its tools)
	for system in linux darwin windows; do \
		GOOS=$$system CGO_ENABLED=0 go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' . ./cmd/... || exit 1; \
	done >dist/modules.txt
	LC_ALL=C sort -u dist/modules.txt | while read -r path version dir; do \
		files=$$(ls "$$dir" | grep -iE '^(licen[cs]e|copying|copyright|notice|patents)([.-].*)?$$' | grep -v '\.go$$') || \
			{ echo "$$path $$version has no licence in $$dir: find out under which terms it may be handed on" >&2; exit 1; }; \
		for file in $$files; do printf '==== %s %s: %s\n\n' "$$path" "$$version" "$$file"; cat "$$dir/$$file"; echo; done; \
	done >dist/licences.txt
	rm dist/modules.txt
	for main in . cmd/kubectl-clientbindings; do \
		name=$$(basename "$$(go list "./$$main")") && \
		$(RELEASE_TOOL) cyclonedx-gomod app -json -licenses -noserial -main "$$main" -output "dist/$$name.cdx.json" . || exit 1; \
	done
	VERSION=$(VERSION) $(RELEASE_TOOL) goreleaser release --clean $(if $(PUBLISH),,--snapshot --skip=sign)
	go test -tags release -count=1 ./test/release

.PHONY: publish
publish: ## For CI, on a tag: build a release, push and sign image and chart, and upload the other parts to the page of the release
	@$(call need,cosign,see https://docs.sigstore.dev)
	$(MAKE) release PUBLISH=1 PUSH=1
	cosign sign --yes "$$(cat dist/image.txt)"
	$(HELM) push dist/clientbinding-operator-$(CHART_VERSION).tgz oci://$(dir $(IMAGE_NAME))charts

.PHONY: clean-release
clean-release:
	rm -f dist/*.tgz dist/*.cdx.json

##@ Clean up

.PHONY: clean
clean: ## Remove the built files; the caches stay
	rm -rf bin dist

##@ Use the cluster of the current kubeconfig

.PHONY: run
run: need-go ## Run the operator on this machine, against that cluster (ARGS="--flag …")
	go run . $(ARGS)

.PHONY: install
install: need-go need-kubectl ## Install the CRDs
	$(KUSTOMIZE) build config/crd | kubectl apply --server-side -f -

.PHONY: uninstall
uninstall: need-go no-objects ## Remove the CRDs; refuses while there are ClientBindings or APIConnections
	@$(KUSTOMIZE) build config/crd | $(DELETE)

.PHONY: deploy
deploy: need-go dist/deploy/kustomization.yaml need-kubectl ## Install CRDs and operator, with the image IMG
	$(KUSTOMIZE) build dist/deploy | kubectl apply --server-side -f -

.PHONY: undeploy
undeploy: need-go no-objects ## Remove operator and CRDs; refuses while there are ClientBindings or APIConnections (TIMEOUT=2m)
	@$(KUSTOMIZE) build config/default | $(DELETE)

TIMEOUT ?= 2m

# Without a timeout kubectl waits for a week.
DELETE = kubectl delete --ignore-not-found --timeout=$(TIMEOUT) -f - || { \
	echo "Not all of it is gone, see the error above. Where kubectl timed out, all is being deleted: the status of what is left says what it waits for." >&2; \
	echo "A namespace goes only in a cluster that runs kube-controller-manager. To wait again, repeat the command (TIMEOUT=10m: for longer)." >&2; \
	exit 1; }

# The image goes into a layer of its own, so that deploying does not change files under version control.
.PHONY: dist/deploy/kustomization.yaml
dist/deploy/kustomization.yaml:
	@mkdir -p $(@D)
	@printf '%s\n' 'resources: [../../config/default]' > $@
	@cd $(@D) && go tool -modfile=$(CURDIR)/hack/tools/generate/go.mod kustomize edit set image $(IMAGE_NAME)=$(IMG)

# Without the operator nobody revokes, and nobody takes its finalizers away. An APIConnection goes after the finalizers of its Secrets and RoleBinding.
.PHONY: no-objects
no-objects: need-kubectl
	@for kind in ClientBinding APIConnection; do \
		resource=$$(echo "$$kind" | tr A-Z a-z)s.access.delos.financial; \
		left=$$(kubectl get crd "$$resource" --ignore-not-found --output name) || exit 1; \
		if [ "$$left" ]; then left=$$(kubectl get "$$resource" --all-namespaces --output name) || exit 1; fi; \
		if [ "$$left" ]; then \
			echo "There are $${kind}s. While the operator runs, delete all ClientBindings, then all APIConnections, and wait until they are gone:" >&2; \
			echo "it revokes their access (or leaves it, with deletionPolicy: Orphan), and lets their Secrets and RoleBindings go." >&2; \
			echo "See: kubectl get $$resource --all-namespaces" >&2; \
			exit 1; \
		fi; \
	done

# need names a missing program, and says how to get it.
need = command -v $(1) >/dev/null || { echo "make needs $(1): $(2)" >&2; exit 1; }

.PHONY: need-go need-cc need-kubectl need-redis need-chromium need-prometheus need-engine
need-go:
	@$(call need,go,see https://go.dev/dl for the version that go.mod asks for)
	@$(call need,git,install it with the package manager of your system)
need-cc: need-go
	@$(call need,$(firstword $(shell go env CC 2>/dev/null) cc),the race detector needs a C compiler; on Debian: apt-get install gcc libc6-dev)
need-engine:
	@$(if $(ENGINE),,echo "make needs docker, podman or buildah; \`make image\` needs none" >&2; exit 1)
need-redis:
	@$(call need,redis-server,Argo CD keeps its cache in it; on Debian: apt-get install redis-server)
need-chromium:
	@$(call need,chromium,on Debian: apt-get install chromium)
need-prometheus:
	@$(call need,prometheus,on Debian: apt-get install --no-install-recommends prometheus)
	@$(call need,promtool,it comes with Prometheus)
need-kubectl:
	@$(call need,kubectl,see https://kubernetes.io/docs/tasks/tools)
