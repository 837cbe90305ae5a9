// Package httpapi declares HTTP endpoints as Go values that servers and clients share.
//
//	// In a contract package that both sides import:
//	var GetUser = httpapi.NewEndpoint[GetUserRequest, User]("GET /users/{id}", nil)
//
//	type GetUserRequest struct {
//		ID     string   `path:"id"`
//		Fields []string `query:"field" maxItems:"10"`
//		Limit  int      `query:"limit" default:"20" minimum:"1" maximum:"100"`
//		Tenant string   `header:"X-Tenant" api:"required"`
//	}
//
//	// The server, where GetUser is a func(context.Context, GetUserRequest) (User, error):
//	httpapi.Handle(mux, GetUser, svc.GetUser)
//
//	// The client, where users is an *httpclient.Client:
//	user, err := GetUser.Call(ctx, users, GetUserRequest{ID: "42"})
//
// # What a request is made of
//
// A field tagged path, query, header, cookie or form is a parameter of that name. Every other exported field is part of
// the JSON body, by the rules of encoding/json. There is a body only where there is such a field, and only POST, PUT
// and PATCH may have one. Parameters are strings, booleans, numbers, types with UnmarshalText and MarshalText (times,
// UUIDs), pointers to these, and in queries and forms slices of these, which repeat the parameter. Every wildcard of
// the pattern has its path field and the reverse.
//
// A parameter of value zero is not sent, and one that does not come is zero, or its default where it is tagged
// `default:"20"`; a pointer tells "absent" from "zero". The default of a slice has commas between its items. A header,
// a cookie or a single query parameter that comes twice is refused.
//
// Instead of JSON a body may be
//   - a form: fields tagged form. It is taken URL-encoded and multipart; where a field is a *[File] or a slice of them,
//     as multipart only. Its files are within the limit of the body, and above 1 MiB of them on disk until the handler
//     has returned.
//   - what it is: one field tagged with its media type, such as `body:"image/*"`, which is a []byte, an io.Reader or an
//     io.ReadCloser. A reader is valid until the handler returns, and fails with an *http.MaxBytesError past the limit.
//
// Another Content-Type than that of the contract is 415, a body past the limit 413.
//
// # What a request must be
//
// A field tagged `api:"required"` must not be its type's zero value, at any depth of structs, pointers, slices, arrays
// and maps; where zero is a legal value, make the field a pointer. Path fields are always required.
//
// These tags are keywords of JSON Schema (2020-12): minLength and maxLength (in code points), pattern (a Go regular
// expression, and so of RE2: the subset of ECMA 262 without look-around and back references; it matches anywhere unless
// it is anchored), format (date-time, date, email, hostname, ipv4, ipv6, uri, uuid), enum (with commas), minimum,
// maximum, exclusiveMinimum, exclusiveMaximum, minItems, maxItems and uniqueItems:"true". On a slice or an array the
// last three are about the list, all others about its items. What is absent is not checked: a nil pointer, a parameter
// that did not come, and the zero value of a field whose json tag says omitempty or omitzero. Every other zero value is
// checked, whether it came or not.
//
// The answer to a request that is not valid is 400 and names every violation, up to 64: parameters by their names,
// members of a JSON body by JSON pointer (RFC 6901), as in "/items/0/sku". A request type with a method Validate()
// error is asked last; its text is sent to the caller.
//
// # How strict JSON is read
//
// A JSON body must be one value in UTF-8 of a JSON media type, with nothing behind it, and nested at most 10,000 deep
// (encoding/json). Members that the type does not know are ignored, so that the two sides can be deployed on different
// days; names match without regard to case where none matches exactly; of members of one name the last counts.
// [EndpointOptions].Strict refuses all three. Lone surrogates in escapes become U+FFFD.
//
// # What an answer is made of
//
// A result is sent as JSON with status 200, or another that the options name; a result with nothing to send and a nil
// pointer are 204 without a body. A result's field tagged header is a header, one of type int tagged `status:"200,201"`
// the status, which is one of these and the first where it is zero, and one tagged with a media type, such as
// `body:"text/csv"`, the body as it is: a []byte or an io.ReadCloser, which is closed when it is sent. A redirect is a
// Status of 3xx and a field `header:"Location"`; Call returns it and does not follow it.
//
// An error is sent as RFC 9457 problem details: a [transport.Error] as it is, less its cause; an error of a type that
// the endpoint declares ([ErrorOf]) with its fields; any other as transport.AsError says. Call returns the same
// [transport.Error], with the declared error in its chain.
//
// # Streams
//
// [NewStream] declares a stream of events, typed at both ends: server-sent events, which browsers read with
// EventSource. The handler sends them, [Stream.Call] is a loop over them that survives lost connections and servers
// that stop:
//
//	for price, err := range Prices.Call(ctx, shop, PricesRequest{SKU: "tea"}) {
//
// # What it does not do
//
// No content negotiation and no trailers. Mount a plain http.Handler for these.
package httpapi
