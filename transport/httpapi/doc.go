// Package httpapi declares HTTP endpoints as Go values that servers and clients share.
//
//	// In a contract package that both sides import:
//	var GetUser = httpapi.NewEndpoint[GetUserRequest, User]("GET /users/{id}", nil)
//
//	type GetUserRequest struct {
//		ID     string `path:"id"`
//		Fields []string `query:"field"`
//		Tenant string `header:"X-Tenant" api:"required"`
//	}
//
//	httpapi.Handle(mux, GetUser, svc.GetUser)                        // server: func(context.Context, GetUserRequest) (User, error)
//	user, err := GetUser.Call(ctx, users, GetUserRequest{ID: "42"})  // client: users is an *httpclient.Client
//
// # What a request is made of
//
// A field tagged path, query or header is a parameter of that name; every other exported field is part of the JSON
// body, by the rules of encoding/json. There is a body only where there is such a field, and only POST, PUT and PATCH
// may have one. Parameters are strings, booleans, numbers, types with UnmarshalText and MarshalText (times, UUIDs),
// pointers to these, and in the query slices of these, which repeat the parameter. Every wildcard of the pattern has
// its path field and the reverse.
//
// A parameter of value zero is not sent, and one that does not come is zero; a pointer tells "absent" from "zero". A
// field tagged `api:"required"` must not be its type's zero value, at any depth of structs, pointers, slices and
// arrays; where zero is a legal value, make the field a pointer. Path fields are always required. A request type with a
// method Validate() error is asked last; its text is sent to the caller.
//
// A body must be one JSON value of a JSON media type (else 415), within the limit (else 413) and with nothing behind
// it. Members that the type does not know are ignored, so that the two sides can be deployed on different days, unless
// [EndpointOptions].Strict is set. A header or a single query parameter that comes twice is refused.
//
// # What an answer is made of
//
// A result is sent as JSON with status 200, or another that the options name; struct{} and a nil pointer are 204
// without a body. An error is sent as RFC 9457 problem details: a [transport.Error] as it is, less its cause, any other
// as transport.AsError says. Call returns the same [transport.Error].
//
// # What it does not do
//
// No streaming, no content negotiation (JSON only), no multipart forms. Mount a plain http.Handler for these.
package httpapi
