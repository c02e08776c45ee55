// Image builds the operator's image with ko, without a container engine: the static binary on a base that is made here. The base has
// a user without rights and the certificate authorities of Mozilla, as golang.org/x/crypto ships them. So the same commit gives
// the same image, on every machine with the same version of Go.
package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/ko/pkg/build"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	module = "github.com/delos-financial/clientbinding-operator"
	// user is a number, so that Kubernetes can check runAsNonRoot.
	user = "65532:65532"
	// most is the compressed size in bytes that the image may have on one platform.
	most = 25_000_000
)

func main() {
	directory := flag.String("directory", ".", "Directory of the operator's module.")
	image := flag.String("image", "", "Name and tag of the image.")
	commit := flag.String("commit", "", "Commit that is built.")
	seconds := flag.Int64("time", 0, "Time of the commit, in seconds since 1970.")
	ldflags := flag.String("ldflags", "", "Flags for the linker.")
	platforms := flag.String("platforms", "linux/amd64,linux/arm64", "Platforms, separated by commas.")
	archive := flag.String("archive", "", "File for an OCI archive, as `ctr images import`, `docker load` and `podman load` take it.")
	push := flag.Bool("push", false, "Push the image to its registry, with the credentials of `docker login`.")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	tag := must(name.NewTag(*image))
	labels := map[string]string{
		"org.opencontainers.image.title":       "clientbinding-operator",
		"org.opencontainers.image.description": "Makes access to client accounts on the Delos Financial platform declarative.",
		"org.opencontainers.image.vendor":      "Delos Financial",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.source":      "https://" + module,
		"org.opencontainers.image.version":     tag.TagStr(),
		"org.opencontainers.image.revision":    *commit,
	}
	index := assemble(ctx, *directory, *ldflags, strings.Split(*platforms, ","), labels, v1.Time{Time: time.Unix(*seconds, 0).UTC()})
	checkSize(index)
	if *archive != "" {
		done(save(*archive, tag, index))
		fmt.Fprintln(os.Stderr, "saved in", *archive)
	}
	if *push {
		done(remote.WriteIndex(tag, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)))
		fmt.Fprintln(os.Stderr, "pushed")
	}
	fmt.Printf("%s@%s\n", tag, must(index.Digest()))
}

// done ends the program if there is an error.
func done(err error) {
	if err != nil {
		log.Fatal("image: ", err)
	}
}

// must returns a value, or ends the program if there is an error.
func must[T any](value T, err error) T {
	done(err)
	return value
}

// assemble builds the operator for the platforms and puts it into images.
func assemble(ctx context.Context, directory, ldflags string, platforms []string, labels map[string]string, created v1.Time) v1.ImageIndex {
	options := []build.Option{
		build.WithBaseImages(func(context.Context, string) (name.Reference, build.Result, error) {
			return name.MustParseReference("scratch"), baseImages(platforms), nil
		}),
		build.WithPlatforms(platforms...),
		build.WithTrimpath(true),
		build.WithDefaultFlags([]string{"-buildvcs=false"}),
		build.WithLdflags(strings.Fields(ldflags)),
		build.WithCreationTime(created),
		build.WithKoDataCreationTime(created),
		build.WithUser(user),
		// The software bill of materials is made once for a release, see `make release`.
		build.WithDisabledSBOM(),
	}
	for key, value := range labels {
		options = append(options, build.WithLabel(key, value), build.WithAnnotation(key, value))
	}
	built := must(must(build.NewGo(ctx, directory, options...)).Build(ctx, build.StrictScheme+module))
	if index, is := built.(v1.ImageIndex); is {
		return index
	}
	// Of a single platform.
	return mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{Add: built.(v1.Image)})
}

// baseImages returns for each platform an image with a user and certificate authorities.
func baseImages(platforms []string) v1.ImageIndex {
	files := layer([]file{
		{"etc/passwd", []byte("nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n")},
		{"etc/group", []byte("nonroot:x:65532:\n")},
		{"etc/ssl/certs/ca-certificates.crt", authorities()},
	})
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, text := range platforms {
		platform := must(v1.ParsePlatform(text))
		image := must(mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1), &v1.ConfigFile{
			OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant,
			RootFS: v1.RootFS{Type: "layers"},
		}))
		image = must(mutate.Append(mutate.ConfigMediaType(image, types.OCIConfigJSON), mutate.Addendum{
			Layer: files, History: v1.History{CreatedBy: "hack/tools/image", Comment: "user and certificate authorities"},
		}))
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	return index
}

// authorities returns Mozilla's certificate authorities in PEM, but for those that are trusted with constraints, which PEM cannot say.
func authorities() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // A Buffer takes all.
		}
	}
	return out.Bytes()
}

type file struct {
	path    string
	content []byte
}

// layer returns a layer with the files, which all users may read.
func layer(files []file) v1.Layer {
	var content bytes.Buffer
	archive := tar.NewWriter(&content)
	for _, file := range files {
		done(archive.WriteHeader(&tar.Header{Name: file.path, Mode: 0o444, Size: int64(len(file.content)), Typeflag: tar.TypeReg}))
		must(archive.Write(file.content))
	}
	done(archive.Close())
	return must(tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer)))
}

// checkSize prints the compressed size of the image on each platform, and fails if one is too large.
func checkSize(index v1.ImageIndex) {
	for _, descriptor := range must(index.IndexManifest()).Manifests {
		contents := must(must(index.Image(descriptor.Digest)).Manifest())
		size := descriptor.Size + contents.Config.Size
		for _, layer := range contents.Layers {
			size += layer.Size
		}
		fmt.Fprintf(os.Stderr, "%s: %.1f MB compressed\n", descriptor.Platform, float64(size)/1e6)
		if size > most {
			log.Fatalf("image: that of %s has %d bytes compressed: %d is the limit", descriptor.Platform, size, most)
		}
	}
}

// save writes an OCI archive with the image, under its full name.
func save(path string, tag name.Tag, index v1.ImageIndex) (err error) {
	directory, err := os.MkdirTemp("", "image-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	named := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: index, Descriptor: v1.Descriptor{Annotations: map[string]string{
		"io.containerd.image.name":          tag.Name(),
		"org.opencontainers.image.ref.name": tag.Name(),
	}}})
	if _, err := layout.Write(directory, named); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(out)
	return errors.Join(addDirectory(archive, directory), archive.Close(), out.Close())
}

// addDirectory adds all files in a directory, in the order of their names and without their times.
func addDirectory(archive *tar.Writer, directory string) error {
	return filepath.WalkDir(directory, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(directory, path)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: filepath.ToSlash(relative), Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err = archive.Write(content)
		return err
	})
}
