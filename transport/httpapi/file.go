package httpapi

import (
	"bytes"
	"io"
	"mime/multipart"
	"reflect"
	"strings"
)

// File is a file of a multipart form: a field *File or []*File that is tagged form.
//
// What a handler gets can be opened until it returns; then it is gone.
type File struct {
	// Name is what the sender calls the file, less any folders, and may be "". It is a label: never open a path made
	// of it.
	Name string
	// ContentType is what the sender says that it is. "" is application/octet-stream to the receiver.
	ContentType string
	// Size in bytes. A sender leaves it zero.
	Size int64
	// Open returns the content from its beginning, each time; the caller closes it. A sender's Open is called once for
	// each attempt to send the request.
	Open func() (io.ReadCloser, error)
}

// NewFile returns a file to send, with the content in memory.
func NewFile(name, contentType string, content []byte) *File {
	return &File{Name: name, ContentType: contentType, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}}
}

type kindOfFile uint8

const (
	noFile kindOfFile = iota
	oneFile
	manyFiles
)

func isFile(t reflect.Type) bool { return t == reflect.TypeFor[*File]() }

func kindOf(many bool) kindOfFile {
	if many {
		return manyFiles
	}
	return oneFile
}

func receivedFile(h *multipart.FileHeader) *File {
	return &File{
		Name:        withoutFolders(h.Filename),
		ContentType: h.Header.Get("Content-Type"),
		Size:        h.Size,
		Open:        func() (io.ReadCloser, error) { return h.Open() },
	}
}

// withoutFolders returns the last part of a path of any system, "" where that is a folder too.
func withoutFolders(path string) string {
	name := path[strings.LastIndexAny(path, `/\`)+1:]
	if name == "." || name == ".." {
		return ""
	}
	return name
}
