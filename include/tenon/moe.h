/* Tenon's C API for Mixture-of-Experts: bringing tokens to the ranks of their experts, and the experts' results back.
 *
 * Each rank of a communicator has tokens: rows of `hidden` elements. A router has chosen up to topK experts for each,
 * with weights. tenonMoeDispatch brings every token to the ranks that have one of its experts; tenonMoeCombine brings
 * the experts' rows back and adds them by weight. tenonMoePrepare makes the handle both need, from the router's choice;
 * one handle serves any number of dispatches and combines: the layers of a micro-batch that share a routing, and the
 * backward pass, where the gradient of a dispatch is a combine without weights, and that of a combine a dispatch.
 *
 * What tenon.h says at its head holds here: agreement, streams, threads, errors. Every rank of the group makes the same
 * calls in the same order, also one without tokens or experts. With a stream a call returns at once, so that the caller
 * can compute meanwhile; an event or tenonStreamSynchronize is its other half. Inside tenonGroupStart and tenonGroupEnd
 * these calls are refused (tenonInvalidUsage): give each rank of a process a thread or a stream instead.
 *
 * Determinism: the bits of a result depend on the inputs, the routing, the placement and which ranks share a node, and
 * on nothing else. A combine computes, element by element: the token's experts are grouped by the node they are on (the
 * hosts, or the innermost groups of TENON_GROUPS); of each group, weight * row is added in float32 in the order of the
 * slots (positions in the top-k); the sum is rounded to combineType, or kept float32; the groups' sums are added in
 * float32 in the order of their lowest slots; the result is rounded to combineType once. With one group that is the
 * weighted sum in the order of the slots. A token without experts becomes zeros. NaN and infinite weights and elements
 * act as IEEE 754 says; NaNs come out canonical.
 *
 * A slot is a position in a token's top-k; a place is where a rank keeps a copy of an expert. */
#ifndef TENON_MOE_H_
#define TENON_MOE_H_

#include "tenon/tenon.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tenonMoeGroup* tenonMoeGroup_t;   /* a communicator's ranks with a configuration */
typedef struct tenonMoeHandle* tenonMoeHandle_t; /* one routing of a group */

/* How the rows that come to a rank lie in its buffer. Both are packed; rows of one source rank keep its tokens' order.
 */
typedef enum {
    /* A row for each token and expert: by place, then by source rank, token and slot. The rows of a place begin at a
     * multiple of `alignment`; the rows up to there are padding, which tenonMoeDispatch zeroes. */
    tenonMoeExpertMajor = 0,
    /* A row for each token, whichever and however many of this rank's experts it is for: by source rank and token. For
     * combine the row stands for all of them, already weighed and added by the caller, in the place of the lowest slot.
     */
    tenonMoeRankMajor = 1
} tenonMoeLayout_t;

/* How rows travel. The bits are the same; what differs is how many rows leave a node. */
typedef enum {
    tenonMoeFlat = 0, /* from rank to rank: each token once to every rank that has one of its experts */
    /* each token once to every node that has one of its experts, to the rank with the same index there, which hands it
     * on; on the way back that rank adds the node's rows and sends one. With one node as tenonMoeFlat */
    tenonMoeHierarchical = 1,
    /* the one of the two that is predicted to be quicker for maxTokens tokens of each rank that choose their experts
     * alike, from the topology's groups and links (TENON_TUNING_FILE has measured ones); all ranks choose the same.
     * `tenon explain moe` shows the choice for any topology, and TENON_LOG=info a group's */
    tenonMoeAuto = 2
} tenonMoePath_t;

/* What a group is. Start from TENON_MOE_CONFIG_INITIALIZER; experts, topK, hidden and maxTokens must be set. All ranks
 * must have the same (tenonMismatch). */
#define TENON_MOE_CONFIG_MAGIC 0x7e40c0f3u
typedef struct {
    size_t size; /* these three are set by the initializer and identify the layout */
    unsigned magic;
    unsigned version;
    int experts;      /* of the model, from 1; any number, whatever the number of ranks */
    int topK;         /* slots of a token, from 1 to 64 */
    size_t hidden;    /* elements of a row */
    size_t maxTokens; /* the most tokens that a rank prepares at once */
    tenonDataType_t dispatchType; /* of the rows that come: tenonBfloat16, tenonFloat16 or tenonFloat32; or quantised,
                                   * tenonFloat8e4m3 or tenonInt8: see tenonMoeDispatchQuantised */
    tenonDataType_t tokenType;    /* where rows are quantised, of the tokens: tenonBfloat16, tenonFloat16 or
                                   * tenonFloat32, which the call quantises, or dispatchType: the caller has, and gives
                                   * their scales. Else ignored: tokens are of dispatchType */
    tenonDataType_t combineType;  /* of the experts' rows and of the result: one of the same; sums are float32 */
    int float32Partials;          /* 1: the sums of groups are not rounded to combineType before they are added */
    tenonMoeLayout_t layout;
    tenonMoePath_t path;
    size_t windowBytes; /* tenonMoeHierarchical: the most bytes of rows that a rank keeps in order to hand them on, but
                         * room for two tokens of each rank that it serves; less means more rounds. 0: 64 MiB */
    int alignment;        /* rows; tenonMoeExpertMajor only, else 1 */
    int placesPerRank;    /* of `placement`; 0 without one */
    const int* placement; /* [ranks][placesPerRank]: the expert at each place, or -1 for none. Copied by the call. An
                           * expert may have copies on several places; a token uses the nearest: on its own rank, else
                           * on its node, else any; of several equally near ones number (token + rank) modulo how many
                           * they are, in the order of the placement. NULL: one copy of each; rank r has experts
                           * [r * experts / ranks, (r + 1) * experts / ranks) at its places 0, 1, ... */
    const unsigned char* masked; /* [ranks]: 1 for a rank that is masked: see tenonMoeGroupMask. Copied. NULL: none */
    int dropMissing;             /* 1: a slot whose expert has no place on a rank that is not masked counts as one
                                  * without an expert, and is counted (tenonMoeCounts_t.droppedSlots); weights stay as
                                  * they are. 0: a configuration or mask that leaves an expert nowhere is an error */
} tenonMoeConfig_t;

#define TENON_MOE_CONFIG_INITIALIZER                                                                     \
    {                                                                                                    \
        sizeof(tenonMoeConfig_t), TENON_MOE_CONFIG_MAGIC, TENON_VERSION_CODE, 0, 0, 0, 0, tenonBfloat16, \
            tenonBfloat16, tenonBfloat16, 0, tenonMoeExpertMajor, tenonMoeFlat, 0, 1, 0, NULL, NULL, 0   \
    }

/* Sets *bytes to the most memory that a group of this configuration on `comm` takes on this rank with one handle, if
 * all tokens of all ranks came here; message slots (tenonConfig_t.slotMemoryBytes) and the caller's buffers are not
 * included. Allocates nothing; tenonMoeGroupCreate logs the parts (TENON_LOG=info). Local. The thread that makes the
 * calls on `comm`. */
TENON_EXPORT tenonResult_t tenonMoeMemory(tenonComm_t comm, const tenonMoeConfig_t* config, uint64_t* bytes);

/* Makes a group: all ranks of `comm` call, and wait for each other. Ranks whose configurations differ all get
 * tenonMismatch, which names the difference and leaves `comm` usable. *group is owned by the caller, who ends it with
 * tenonMoeGroupDestroy; it serves while `comm` lives. Errors: tenonInvalidArgument for a configuration that is wrong by
 * itself, such as a placement that leaves an expert nowhere. The thread that makes the calls on `comm`. */
TENON_EXPORT tenonResult_t tenonMoeGroupCreate(tenonMoeGroup_t* group, tenonComm_t comm,
                                               const tenonMoeConfig_t* config);

/* Masks ranks, and no others: masked[ranks] has 1 for a rank that is to have no part in any routing that is prepared
 * from now on, as when its accelerator has failed or is to be freed; NULL masks none. Tokens use the copies of experts
 * on other ranks (tenonMoeConfig_t.placement); where there are none, see dropMissing. Nobody sends rows to a masked
 * rank, hands rows on by it, or receives any from it. Handles prepared before keep their routings, and may be used.
 *
 * A masked rank is still a rank of the communicator: its process lives, and makes the group's calls as the others do,
 * with no tokens (tenonInvalidArgument otherwise). When a process dies, its communicator ends for all
 * (tenonRemoteError): then the survivors make a communicator of their own, and a group there with the places that they
 * have; with dropMissing it need not have all experts.
 *
 * All ranks of the group call, masked ones too, and wait for each other; calls issued before, in streams too, are
 * carried out first. Errors: tenonMismatch where masks differ, and tenonInvalidArgument where one leaves an expert
 * nowhere: on all ranks, and the mask stays as it was. The thread that makes the calls on the communicator. */
TENON_EXPORT tenonResult_t tenonMoeGroupMask(tenonMoeGroup_t group, const unsigned char* masked);

/* Sets *path to the way that the group's rows take, which tenonMoeAuto has chosen: tenonMoeFlat or
 * tenonMoeHierarchical. Local. Any thread. */
TENON_EXPORT tenonResult_t tenonMoeGetPath(tenonMoeGroup_t group, tenonMoePath_t* path);

/* Releases a group, before or after its communicator, when none of its handles is used any more. Local. Any thread,
 * with no other inside a call on `group`. */
TENON_EXPORT tenonResult_t tenonMoeGroupDestroy(tenonMoeGroup_t group);

/* Makes a handle for `tokens` tokens of this rank, at most maxTokens, which may differ between ranks and be 0.
 * topkIndices[tokens][topK] are experts in [0, experts), or -1 for none; topkWeights[tokens][topK] are their weights,
 * or NULL for ones. Both are read before the call returns. An expert may stand in several slots of a token: each
 * counts. *handle is owned by the caller, who ends it with tenonMoeHandleDestroy. With a stream, *handle may be used
 * for further calls at once, and be asked when the stream has come so far. Errors: tenonInvalidArgument, before
 * anything is sent, for too many tokens or an expert that there is not (says the rank, token and limit). The thread
 * that makes the calls on the communicator. */
TENON_EXPORT tenonResult_t tenonMoePrepare(tenonMoeHandle_t* handle, tenonMoeGroup_t group, const int64_t* topkIndices,
                                           const float* topkWeights, size_t tokens, tenonStream_t stream);

/* Releases a handle; calls already issued with it complete. Local. Any thread, with no other inside a call on
 * `handle`. */
TENON_EXPORT tenonResult_t tenonMoeHandleDestroy(tenonMoeHandle_t handle);

/* rows[rowCapacity][hidden] of dispatchType receives the tokens that have experts on this rank, in the group's layout,
 * from everybody's tokens[tokens][hidden]. rowCapacity is at least tenonMoeCounts_t.rows of the handle, else
 * tenonInvalidArgument before anything is sent; with a stream the stream says so. The buffers do not overlap. */
TENON_EXPORT tenonResult_t tenonMoeDispatch(tenonMoeHandle_t handle, const void* tokens, void* rows, size_t rowCapacity,
                                            tenonStream_t stream);

/* The same where dispatchType is tenonFloat8e4m3 or tenonInt8 (only there, and there this alone; else
 * tenonInvalidUsage): rows[rowCapacity][hidden] receives codes of 8 bits, and rowScales[rowCapacity][scales] their
 * scales, an element being worth code * scale. tenonFloat8e4m3 has a scale for each 128 elements of a row, the last for
 * as many as are left: scales = (hidden + 127) / 128; tenonInt8 one for the row. Of padding both are zeros.
 *
 * Where tokenType is a wider type, the call quantises tokens[tokens][hidden], and tokenScales is NULL: of the elements
 * that share a scale it is max(largest / top, 2^-126), `largest` being their largest finite magnitude and top 448
 * (e4m3) or 127 (int8); code = element * (1 / scale), rounded to nearest even; all in float32, each step rounded. An
 * element that is not finite becomes e4m3's NaN (0x7f), and the others do not suffer; int8 has none, so that the row's
 * scale becomes NaN and its codes 0. Where tokenType is dispatchType, tokens are codes and tokenScales[tokens][scales]
 * their scales, which arrive as they are. A group keeps maxTokens such rows to send them from.
 *
 * A combine is never quantised: its rows and its result are of combineType. */
TENON_EXPORT tenonResult_t tenonMoeDispatchQuantised(tenonMoeHandle_t handle, const void* tokens,
                                                     const float* tokenScales, void* rows, float* rowScales,
                                                     size_t rowCapacity, tenonStream_t stream);

/* tokens[tokens][hidden] of combineType = the sums of everybody's rows[rows][hidden], which lie as tenonMoeDispatch
 * would put them; see the head of this file. weighted: 1 multiplies each row by its weight of the handle, 0 by one, the
 * same on every rank; with tenonMoeRankMajor it must be 0. The buffers do not overlap. */
TENON_EXPORT tenonResult_t tenonMoeCombine(tenonMoeHandle_t handle, const void* rows, void* tokens, int weighted,
                                           tenonStream_t stream);

/* What comes to this rank, and goes from it. The arrays belong to the handle, until it is destroyed. */
typedef struct {
    size_t tokens;                 /* of this rank */
    size_t rows;                   /* of its buffer, padding included */
    int places;                    /* of this rank */
    const int* experts;            /* [places]: the expert there, or -1 */
    const size_t* placeRows;       /* [places]: rows that came for it, without padding */
    const size_t* placeOffsets;    /* [places]: its first row, with tenonMoeExpertMajor */
    const size_t* sentTokens;      /* [ranks]: tokens of this rank for experts of each rank, each once: with
                                    * tenonMoeFlat, times the row's bytes, its line of the traffic matrix */
    const size_t* receivedTokens;  /* [ranks]: its column */
    const size_t* sentEntries;     /* [ranks]: slots of this rank's tokens whose experts each rank has */
    const size_t* receivedEntries; /* [ranks] */
    size_t rowsToOtherNodes;       /* that a dispatch sends from this rank to ranks of other nodes */
    size_t leastRowsToOtherNodes;  /* the least that can be: each token once for each other node that needs it */
    const int* nodes;              /* [ranks]: the node that each rank is on, numbered from 0 */
    size_t droppedSlots;           /* of this rank's tokens: slots with an expert, but no rank for it (dropMissing) */
    size_t droppedTokens;          /* tokens of which so are all slots that have an expert: they become zeros */
} tenonMoeCounts_t;

/* Sets *counts. Errors: tenonInvalidUsage while the handle's prepare has not completed. Local. Any thread. */
TENON_EXPORT tenonResult_t tenonMoeGetCounts(tenonMoeHandle_t handle, tenonMoeCounts_t* counts);

/* What a group's calls on this rank have sent since it was made: bytes of rows (with their scales), not of what
 * surrounds them, of calls that have completed. To this rank itself nothing is sent. With tenonMoeHierarchical a token
 * leaves a node once for each other node that needs it, so that the sum over the ranks is the least that can leave
 * nodes with this routing; what is handed on inside a node counts there, and sums travel back as combineType, or as
 * float32 with float32Partials. */
typedef struct {
    uint64_t dispatches, combines;
    uint64_t dispatchBytesInsideNode;  /* to other ranks of this rank's node */
    uint64_t dispatchBytesLeavingNode; /* to ranks of other nodes */
    uint64_t combineBytesInsideNode;
    uint64_t combineBytesLeavingNode;
} tenonMoeTraffic_t;

/* Sets *traffic. Local. Any thread. */
TENON_EXPORT tenonResult_t tenonMoeGetTraffic(tenonMoeGroup_t group, tenonMoeTraffic_t* traffic);

/* Says for each of the tenonMoeCounts_t.rows rows of this rank where it comes from: ranks[rows] and tokens[rows], both
 * -1 for padding. With tenonMoeExpertMajor, slots[rows], experts[rows] and weights[rows] say which slot and expert it
 * is for, and its weight; -1 and 0 for padding. With tenonMoeRankMajor, experts[rows][topK] and weights[rows][topK]
 * have them by slot, -1 and 0 where the expert is not on this rank, and slots must be NULL. Each array belongs to the
 * caller and may be NULL. Errors: tenonInvalidUsage while the handle's prepare has not completed. Local. Any thread. */
TENON_EXPORT tenonResult_t tenonMoeGetRows(tenonMoeHandle_t handle, int* ranks, int64_t* tokens, int* slots,
                                           int* experts, float* weights);

#ifdef __cplusplus
}
#endif

#endif /* TENON_MOE_H_ */
